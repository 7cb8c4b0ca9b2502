"""The infused rows of the batches to come, found and gathered together: one by one most of the time goes into calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kis_plugin.infusion.layout import Layout

__all__ = ["Gathered", "RowsAhead"]

_GATHERED = 32  # infused rows at once
_MOST_ROWS = 1 << 16  # rows of the run that are looked at ahead, however few of them are infused


class Gathered(NamedTuple):
    """What one row carries: its tokens, (n,), the tokens of each text, and which are targets, (n,), or None for all."""

    tokens: npt.NDArray[np.int32]
    lengths: tuple[int, ...]
    targets: npt.NDArray[np.bool_] | None


class RowsAhead:
    """Answers for the rows of batches, and looks ahead to the batches that the same reader will ask for next.

    A reader, one worker of one rank, takes every so-manieth batch: what lies ahead is known once two batches came at
    the same distance. A reader in any other order gets the same rows, each found and made by itself.

    Args:
        layout: Which texts each row carries.
        gather: Text numbers, (texts,) -> their tokens, one after the other, the tokens of each, and their targets.
        rows: Rows of the run.
    """

    # The last batch: its first row, how many rows on from the batch before that was, and how far its rows reach.
    _batch: int
    _distance: int
    _size: int

    def __init__(self, layout: Layout, gather: Callable[[npt.NDArray[np.integer]], Gathered], rows: int) -> None:
        self._layout, self._gather, self._rows = layout, gather, rows
        self._forget()

    def places(self, rows: Sequence[int | None]) -> list[int]:
        """Return the places in a batch of the planned rows, None for base text, into which anything is infused."""
        numbers = [row for row in rows if row is not None]
        if not numbers:
            return []
        first, last = min(numbers), max(numbers)
        size, distance = last + 1 - first, first - self._batch
        steady = distance == self._distance and distance >= size
        self._size, self._distance, self._batch = size, distance, first
        if first < self._first or last >= self._stop or self._throttled():
            if not steady:
                return [place for place, row in enumerate(rows) if row is not None and self._layout.infused(row)]
            self._look(first, last)
        if self._slots.keys().isdisjoint(numbers):  # most batches: one call instead of one for each row
            return []
        return [place for place, row in enumerate(rows) if row in self._slots]

    def take(self, row: int) -> Gathered | None:
        """Return what a row carries that ``places`` has named; None for any other."""
        if row not in self._slots or self._throttled():
            return None
        if row not in self._made:
            self._make(row)
        return self._made.pop(row)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without rows: a loader's workers gather their own."""
        return {"_layout": self._layout, "_gather": self._gather, "_rows": self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin without rows."""
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._first = self._stop = 0
        self._slots: dict[int, tuple[int, int]] = {}
        self._made: dict[int, Gathered] = {}
        self._batch, self._distance, self._size = 0, 0, 1
        self._throttles = 0

    def _throttled(self) -> bool:
        """Return whether a throttle was added since rows were looked at: they may be base text now."""
        return len(self._layout.throttles or ()) != self._throttles

    def _look(self, first: int, last: int) -> None:
        """Find the infused rows from ``first`` on, of about as many batches as have ``_GATHERED`` of them."""
        self._throttles = len(self._layout.throttles or ())
        readers = self._distance / self._size
        reach = math.ceil(_GATHERED * readers * self._rows / max(self._layout.slots, 1))
        self._first, self._stop = first, max(last + 1, first + min(reach, _MOST_ROWS))
        self._slots = dict(self._layout.slots_between(self._first, self._stop))
        self._made.clear()

    def _make(self, row: int) -> None:
        """Gather what ``row`` carries and what the rows do that the same reader will ask for after it."""
        batch, size, distance = self._batch, self._size, max(self._distance, self._size)
        rows = [other for other in self._slots if other >= row and (other - batch) % distance < size][:_GATHERED]
        if not rows or rows[0] != row:
            rows = [row]
        texts = [self._layout.texts_at(*self._slots[other]) for other in rows]
        tokens, lengths, targets = self._gather(np.concatenate(texts))
        begin = first = 0
        for other, numbers in zip(rows, texts, strict=True):
            of_texts = lengths[begin : (begin := begin + len(numbers))]
            last = first + sum(of_texts)
            of_targets = None if targets is None else targets[first:last]
            self._made[other] = Gathered(tokens[first:last], of_texts, of_targets)
            first = last
