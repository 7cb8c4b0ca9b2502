"""Copies of logs that a command reads: in a folder of its own, gone at its end, and never filling the disk."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

__all__ = ["has_room", "temporary_folder"]

_FREE = 256 * 2**20
"""Bytes that stay free on the disk of temporary copies."""


def temporary_folder(stack: ExitStack) -> Path:
    """Return a new folder, removed when ``stack`` is closed."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kis-predict-")))


def has_room(folder: Path, more: int) -> bool:
    """Return whether ``more`` bytes can be written below ``folder``."""
    return shutil.disk_usage(folder).free >= more + _FREE
