"""The name of a run, and the versions it was run with."""

from __future__ import annotations

import platform
import time
import uuid
from importlib.metadata import version

import kis_plugin
from kis_plugin.config.schema import Config

__all__ = ["new_run_id", "versions"]


def new_run_id(framework: str, params: int, config: Config) -> str:
    """Return a name that is never given twice and shows model size, amount, seed and time."""
    amounts = {name: getattr(config.infusion, name) for name in ("frequency", "share", "tokens")}
    amount = next(f"{name}{value:g}" for name, value in amounts.items() if value is not None)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return f"{framework}-{params}-{amount}-seed{config.seed}-{stamp}-{uuid.uuid4().hex[:6]}"


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of KIS, Python and installed distributions."""
    found = {"kis": kis_plugin.__version__, "python": platform.python_version()}
    return found | {name: version(name) for name in distributions}
