"""Writes a run log, one record a line."""

from __future__ import annotations

import json
import os
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.log_files.records import Record
from kis_plugin.storage.atomic_write import explained_writing
from kis_plugin.storage.regular_files import open_in_place

__all__ = ["LOG_NAME", "RunLogWriter", "has_begun"]

LOG_NAME = "kis.jsonl"
_BLOCK = 1 << 20  # bytes


class RunLogWriter:
    """Appends records to ``<folder>/kis.jsonl``; each line is flushed before ``write`` returns.

    Args:
        folder: The run's own folder, made if missing. A torn last line left by a killed run is taken away first.

    Raises:
        KISError: The folder cannot be made, nothing can be written there, or a link is in the log's place.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = open_in_place(self.path, append=True)  # unbuffered: a line that failed is not tried again
            _mend_last_line(self._file)
            weakref.finalize(self, self._file.close)  # a run that fails never gets to an end of its own
        except OSError as error:
            expected = "a run log that can be written"
            raise KISError(Problem(str(error.filename or self.path), str(error.strerror or error), expected)) from error

    def write(self, record: Record) -> None:
        """Append one record and flush it.

        Raises:
            KISError: The disk is full, or the file can no longer be written; a torn line is taken away when the run
                resumes.
        """
        values = {"type": record.type, **asdict(record)}
        values |= values.pop("extra")
        kept = {key: value for key, value in values.items() if value is not None}
        line = json.dumps(kept, ensure_ascii=False, allow_nan=False) + "\n"
        with explained_writing(str(self.path)):
            rest = memoryview(line.encode())
            while rest:  # a disk may take a part of it before it is full
                rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        self._file.close()


def has_begun(folder: Path) -> bool:
    """Return whether the log in a run's folder has its first line; one that was emptied or torn there has not."""
    try:
        with (folder / LOG_NAME).open("rb") as file:
            return isinstance(json.loads(file.readline()), dict)
    except (OSError, ValueError, RecursionError):
        return False


def _mend_last_line(file: BinaryIO) -> None:
    """End a last line that lacks nothing but its end; take away one that a killed run left torn."""
    size = file.seek(0, os.SEEK_END)
    last = b""
    while b"\n" not in last and len(last) < size:
        at = max(size - len(last) - _BLOCK, 0)
        file.seek(at)
        last = file.read(size - len(last) - at) + last
    last = last.rpartition(b"\n")[2]
    if not last:
        return
    try:
        json.loads(last)
    except (ValueError, RecursionError):
        file.truncate(size - len(last))
    else:
        file.write(b"\n")
