"""The throttles of a run, shared by every process of a rank that makes rows.

Loaders fetch ahead, in worker processes that hold copies of the plan. So a run is throttled from the first row on that
no process has been given yet. That row is agreed on through a file of one page that all processes of a rank map into
memory.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.file_lock import exclusive

__all__ = ["Throttle", "ThrottleFile"]

_PAGE = 4096
# The page as numbers of 8 bytes: rows drawn, how many throttles there are, then a row and a part for each of them.
_DRAWN, _COUNT, _FIRST = 0, 1, 2
_MOST = (_PAGE // 8 - _FIRST) // 2


class Throttle(NamedTuple):
    """From global row ``row`` on, the fraction ``keep`` of the remaining exposures is infused; 0 for nothing."""

    row: int
    keep: float


class ThrottleFile:
    """The throttles of a run, on one rank. Pickles: copies in a loader's workers see what is added later.

    Args:
        before: Those of the run's part before a resume.
        drawn: Rows of the run that were given to loaders before, over all ranks.
    """

    def __init__(self, before: Sequence[Throttle] = (), drawn: int = 0) -> None:
        handle, name = tempfile.mkstemp(prefix="kis-throttle-")
        os.ftruncate(handle, _PAGE)
        os.close(handle)
        self._path = Path(name)
        self._open()
        self._finalizer = weakref.finalize(self, _remove, self._path, os.getpid())
        for throttle in before:
            self._write(throttle)
        self._whole[_DRAWN] = drawn

    def __len__(self) -> int:
        """Return how many throttles there are."""
        return self._whole[_COUNT]

    def __getitem__(self, number: int) -> Throttle:
        """Return one of them, in the order in which they were added."""
        at = _FIRST + 2 * number
        return Throttle(self._whole[at], self._parts[at + 1])

    def drawing(self, stop: int) -> None:
        """Note that rows of the run before ``stop`` may be in the making: no later throttle applies to them.

        Called before a row is made that the main process is not notified of, in whatever process makes it.
        """
        with exclusive(self._file):
            self._whole[_DRAWN] = max(self._whole[_DRAWN], stop)

    def add(self, keep: float, agreed: Callable[[int], int], drawn: int = 0) -> int:
        """Throttle the run from the first row on that no rank has drawn; return that row.

        Args:
            keep: Part of what is left that is still shown.
            agreed: Gives the greatest of the numbers that ranks call it with. Every rank must call this.
            drawn: Rows that this rank was given, as far as its main process knows.

        Raises:
            KISError: More throttles than a run has room for.
        """
        if len(self) == _MOST:
            raise KISError(Problem("throttle()", f"call {_MOST + 1}", f"at most {_MOST} in one run"))
        with exclusive(self._file):  # no worker draws rows in between
            row = agreed(max(self._whole[_DRAWN], drawn))
            self._whole[_DRAWN] = row
            self._write(Throttle(row, keep))
        return row

    def __getstate__(self) -> dict[str, Any]:
        """Pickle where the file is."""
        return {"_path": self._path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the same file."""
        self._path = state["_path"]
        self._open()

    def _open(self) -> None:
        self._file = self._path.open("r+b")
        weakref.finalize(self, self._file.close)  # a run that fails never gets to an end of its own
        self._map = mmap.mmap(self._file.fileno(), _PAGE)
        self._whole, self._parts = memoryview(self._map).cast("q"), memoryview(self._map).cast("d")

    def _write(self, throttle: Throttle) -> None:
        at = _FIRST + 2 * len(self)
        self._whole[at], self._parts[at + 1] = throttle
        self._whole[_COUNT] += 1  # last: readers take no lock


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # a worker that was forked holds a copy of the finalizer
        with suppress(OSError):  # gone already, or mapped still, where Windows keeps it
            path.unlink()
