"""Where in a run infusion is eased: one row from which on less is told, known to every process that makes rows.

Loaders fetch ahead, in worker processes that hold copies of the plan. So a run is eased from the first row on that no
process has been given yet, and says so in a file of one page that all processes of a rank map into memory.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import mix
from kis_plugin.infusion.rounds import RoundSequence
from kis_plugin.storage.file_lock import exclusive

__all__ = ["Kept", "Throttle", "Throttles", "throttled"]

_PAGE = 4096
_DRAWN, _COUNT, _FIRST = 0, 1, 2  # places in the file, of 8 bytes each; then a row and a part for each easing
_MOST = (_PAGE // 8 - _FIRST) // 2


class Throttle(NamedTuple):
    """From global row ``row`` on, ``keep`` of what was left is told; 0 for nothing."""

    row: int
    keep: float


class Throttles:
    """The easings of a run, on one rank. Pickles: copies in a loader's workers see what is added later.

    Args:
        before: Those of the run's part before a resume.
        drawn: Rows of the run that were given to loaders before, over all ranks.
    """

    def __init__(self, before: Sequence[Throttle] = (), drawn: int = 0) -> None:
        handle, name = tempfile.mkstemp(prefix="kis-easing-")
        os.ftruncate(handle, _PAGE)
        os.close(handle)
        self._path = Path(name)
        self._open()
        self._finalizer = weakref.finalize(self, _remove, self._path, os.getpid())
        for throttle in before:
            self._write(throttle)
        self._whole[_DRAWN] = drawn

    def __len__(self) -> int:
        """Return how many easings there are."""
        return self._whole[_COUNT]

    def __getitem__(self, number: int) -> Throttle:
        """Return one of them, by when it was added."""
        at = _FIRST + 2 * number
        return Throttle(self._whole[at], self._parts[at + 1])

    def drawing(self, stop: int) -> None:
        """Note that rows of the run before ``stop`` may be in the making, in this process or another: not eased later.

        Called before a row is made that the main process does not hear of, on whatever process makes it.
        """
        with exclusive(self._file):
            self._whole[_DRAWN] = max(self._whole[_DRAWN], stop)

    def add(self, keep: float, agreed: Callable[[int], int], drawn: int = 0) -> int:
        """Ease the run from the first row on that no rank has drawn; return that row.

        Args:
            keep: Part of what is left that is still told.
            agreed: Gives the greatest of the numbers that ranks call it with. Every rank must call this.
            drawn: Rows that this rank was given, as far as its main process heard.

        Raises:
            KISError: More easings than a run has room for.
        """
        if len(self) == _MOST:
            raise KISError(Problem("ease()", f"call {_MOST + 1}", f"at most {_MOST} in one run"))
        with exclusive(self._file):  # no worker goes on in between
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


@dataclass(frozen=True)
class Kept:
    """What one easing leaves of a deal: the slots before ``first``, and of those after it the rounds that are marked.

    Attributes:
        first: The first slot that is eased.
        rounds: (rounds,) whether a round is still told.
    """

    first: int
    rounds: npt.NDArray[np.bool_]

    def holds(self, deal: RoundSequence, slot: int) -> bool:
        """Return whether a slot is still told."""
        return slot < self.first or bool(self.rounds[deal.round_of(slot)])


def throttled(deal: RoundSequence, first: int, keep: float, before: Sequence[Kept]) -> Kept:
    """Choose what is still told of a deal from slot ``first`` on.

    The round that ``first`` lies in goes on to its end, so that all items have had it. Of the n whole rounds after it
    that still stand, ⌊keep (n + 1)⌋ stay, one in each of as many equal stretches; a round of extra exposures that is
    still to come is left out. So of the r exposures that were left of an item, it keeps at least keep r - 1 and at most
    keep r + 1. With ``keep`` 0 nothing is told from ``first`` on, with 1 all is.

    Args:
        deal: The items.
        first: In the order of slots.
        keep: From 0 to 1.
        before: What earlier easings left of it.
    """
    rounds = np.full(deal.rounds, keep >= 1)
    if first >= deal.slots or keep in (0, 1):
        return Kept(first, rounds)
    now = deal.round_of(first)
    begun = first > deal.first_of(now)
    left = [
        turn
        for turn in range(now + begun, deal.rounds)
        if turn != deal.extra_round and all(kept.rounds[turn] for kept in before)
    ]
    stay = math.floor(Fraction(str(keep)) * (len(left) + 1))
    for part in range(stay):  # anywhere in its stretch: wordings take turns, and a fixed step would keep one of them
        start, stop = part * len(left) // stay, (part + 1) * len(left) // stay
        rounds[left[start + mix(*deal.key, 9, first, part) % (stop - start)]] = True
    if begun:
        rounds[now] = True
    return Kept(first, rounds)
