"""The version of KIS that is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

__all__ = ["version"]


def version() -> str:
    """Return the version of the installed distribution; of a source tree that is not installed, ``source``."""
    try:
        return installed("kis-plugin")
    except PackageNotFoundError:
        return "source"
