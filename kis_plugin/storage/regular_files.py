"""Refuses devices and pipes where a file is expected, and links where one is added to or written in place."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, cast

from kis_plugin.errors import KISError, Problem

__all__ = ["open_in_place", "refuse_special_file"]


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


def open_in_place(path: Path, *, append: bool = False) -> BinaryIO:
    """Open a file, made if it is missing, to read it and to write in it: unbuffered, at its start or for appending.

    Files that are replaced as a whole go through :func:`kis_plugin.storage.atomic_write.write_atomically`.

    Args:
        path: In a folder that others may have prepared: a link there would lead what is written elsewhere.
        append: Whether everything is written at the end.

    Raises:
        KISError: It is a link, a device or a pipe.
        OSError: It cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | (os.O_APPEND if append else 0)
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # not all of them are known to every system
        flags |= getattr(os, name, 0)
    if path.is_symlink():  # for systems without O_NOFOLLOW
        raise _link(path)
    try:
        handle = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise _link(path) from error
        raise
    file = cast("BinaryIO", os.fdopen(handle, "a+b" if append else "r+b", buffering=0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise KISError(Problem(str(path), "a device or a pipe", "a regular file"))
    return file


def _link(path: Path) -> KISError:
    hint = "Remove it: what a run writes stays in the run's folder."
    return KISError(Problem(str(path), "a link", "a file of the run's own", hint))


_SPECIAL = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
    (lambda _: True, "no regular file"),
)
