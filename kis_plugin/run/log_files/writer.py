"""Writes a run log, one record a line."""

from __future__ import annotations

import json
import os
import weakref
from dataclasses import asdict
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.log_files.records import Record
from kis_plugin.storage.atomic_write import explained_writing

__all__ = ["LOG_NAME", "RunLogWriter", "has_begun"]

LOG_NAME = "kis.jsonl"


class RunLogWriter:
    """Appends records to ``<folder>/kis.jsonl``; each line is flushed before ``write`` returns.

    Args:
        folder: The run's own folder, made if missing. A torn last line left by a killed run is taken away first.

    Raises:
        KISError: The folder cannot be made, or nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                _mend_last_line(self.path)
            self._file = self.path.open("ab", buffering=0)  # a line that failed is not tried again at the end
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


def _mend_last_line(path: Path) -> None:
    """End a last line that lacks nothing but its end; take away one that a killed run left torn."""
    whole, _, last = path.read_bytes().rpartition(b"\n")
    if not last:
        return
    try:
        json.loads(last)
    except ValueError:
        os.truncate(path, len(whole) + 1 if whole else 0)
    else:
        with path.open("ab") as file:
            file.write(b"\n")
