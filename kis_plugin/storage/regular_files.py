"""Refuses devices and pipes where a file is expected."""

from __future__ import annotations

import stat
from pathlib import Path

from kis_plugin.errors import KISError, Problem

__all__ = ["refuse_special_file"]


def refuse_special_file(path: Path) -> None:
    """Refuse what is neither a regular file nor a folder: reading a device or a named pipe may never end.

    Raises:
        KISError: It is one.
        OSError: There is nothing at ``path``.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        what = next(name for test, name in _SPECIAL if test(mode))
        raise KISError(Problem(str(path), what, "a regular file"))


_SPECIAL = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
    (lambda _: True, "no regular file"),
)
