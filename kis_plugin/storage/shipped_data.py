"""The text and the facts that come with KIS: in the wheel beside the code, in a checkout at their places."""

from __future__ import annotations

import lzma
from pathlib import Path

__all__ = ["sample_text", "shipped"]

_PACKAGE = Path(__file__).resolve().parents[1]
_WHEEL = _PACKAGE / "data" / "shipped"  # where pyproject.toml puts them
_CHECKOUT = _PACKAGE.parent


def shipped(name: str) -> Path:
    """Return the path of a shipped file: its path in a checkout, such as ``examples/data/text.txt.xz``."""
    found = _WHEEL / name
    return found if found.exists() else _CHECKOUT / name


def sample_text(characters: int) -> str:
    """Return the beginning of the shipped English text, documents separated by form feeds."""
    return lzma.decompress(shipped("examples/data/text.txt.xz").read_bytes()).decode()[:characters]
