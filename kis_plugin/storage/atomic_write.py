"""Writes a file whole or not at all: the one way in which the project writes a file that someone reads later.

The content goes to a new file in the same folder, under an unpredictable name, is flushed to the disk and
then renamed. A process that is killed on the way leaves the old file as it was.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kis_plugin.errors import KISError, Problem

__all__ = ["Content", "explained_writing", "flush", "flush_folder", "write_atomically"]

Content = str | bytes | Callable[[BinaryIO], None]
"""Text (written as UTF-8), bytes, or a function that writes to the binary file it is given."""

# A new file and never a link: others who may write to the folder cannot redirect the content.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NOT_OFFERED = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EINVAL}
_NAME_CHARACTERS = 40  # of the target's name that the temporary one repeats: names end at 255 bytes


def write_atomically(path: Path, content: Content, *, where: str = "", overwrite: bool = True) -> None:
    """Write ``content`` to ``path``: afterwards there is all of it, or what was there before.

    A link at ``path`` is replaced and never followed; pass ``path.resolve()`` to write what it points to. The new file
    gets the permissions that the process gives to new files.

    Args:
        path: The file, in a folder that exists.
        content: What to write; a function may write as many pieces as it likes.
        where: What an error calls the file, such as a command line option and the path; the path by default.
        overwrite: Whether a file at ``path`` may be replaced.

    Raises:
        KISError: The file cannot be written, or exists and may not be replaced.
    """
    where = where or str(path)
    try:
        with explained_writing(where):
            _write(path, content, overwrite)
    except FileExistsError as error:
        raise KISError(Problem(where, "a file that exists already", "the name of a new file")) from error


@contextmanager
def explained_writing(where: str) -> Iterator[None]:
    """Turn the error of a file that cannot be written into one that names it and says what to do.

    Raises:
        KISError: In place of any ``OSError`` but ``FileExistsError``.
    """
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "Free some space on that disk, or write to another one." if full else ""
        raise KISError(Problem(where, reason[:1].lower() + reason[1:], "a file that can be written", hint)) from error


def _write(path: Path, content: Content, overwrite: bool) -> None:
    temporary = path.with_name(f".{path.name[:_NAME_CHARACTERS]}.{secrets.token_hex(16)}.partial")
    handle = os.open(temporary, _FLAGS, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            flush(file)
        if overwrite:
            temporary.replace(path)
        else:
            _rename_to_new(temporary, path)
        flush_folder(path.parent)
    except BaseException:  # also of an interrupt: nothing half-written stays behind
        temporary.unlink(missing_ok=True)
        raise


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename a file, and fail if there is one of that name: a hard link cannot be made over a file, a rename can."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise
        if os.path.lexists(path):  # a disk without hard links: look, then rename
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        temporary.replace(path)
    else:
        temporary.unlink()


def flush(file: BinaryIO) -> None:
    """Write an open file through to the disk."""
    file.flush()
    os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Write the names in a folder through to the disk, where the system offers that; Windows opens no folders."""
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise
