"""A lock on an open file that other processes respect, on POSIX systems and on Windows.

For locks that are taken for every row: it needs no file of its own. Whole builds lock by name with ``filelock``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, BinaryIO

__all__ = ["exclusive"]

_BEYOND = 1 << 30  # offset of the byte that Windows locks: behind the content, which others go on reading

_windows: Any = None
try:
    _posix: Any = import_module("fcntl")
except ImportError:
    _posix = None
    _windows = import_module("msvcrt")


@contextmanager
def exclusive(file: BinaryIO) -> Iterator[None]:
    """Keep other processes out while the block runs; the lock is the process's own, also where it inherited the file.

    The operating system releases it when the process ends.
    """
    _lock(file)
    try:
        yield
    finally:
        _unlock(file)


def _lock(file: BinaryIO) -> None:
    if _posix:
        _posix.lockf(file, _posix.LOCK_EX)
        return
    while True:
        file.seek(_BEYOND)
        try:
            _windows.locking(file.fileno(), _windows.LK_LOCK, 1)
        except OSError:  # it gives up after ten seconds
            continue
        return


def _unlock(file: BinaryIO) -> None:
    if _posix:
        _posix.lockf(file, _posix.LOCK_UN)
        return
    file.seek(_BEYOND)
    _windows.locking(file.fileno(), _windows.LK_UNLCK, 1)
