"""Which slot each row of the run carries, by arithmetic alone.

The window is cut into parts, and every span of the run gets its number of slots in each part (``apportion.py``). Within
a part slots lie evenly, with seeded jitter: slot k of n is somewhere in the stretch ``[k * rows // n, (k + 1) * rows //
n)`` of the part's rows. The stretches tile the part. So every slot has exactly one row, no row has two slots, and the
local frequency never strays by more than one row from what the schedule says.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from kis_plugin.hashing import IntArray, mix, mixed_in
from kis_plugin.infusion.apportion import Span, apportioned
from kis_plugin.infusion.protocols import Schedule

__all__ = ["RowMap"]

_KEPT = 4  # parts whose order of spans is remembered


class RowMap:
    """Lays the slots of some spans over the rows of a window, no two on one row.

    Args:
        spans: Each within the window.
        first: First row of the window.
        rows: Rows of the window.
        schedule: How densely each part of the window is infused.
        seed: Of the jitter.

    Raises:
        TooDense: In some part the schedule needs more slots than there are rows.
        KISError: Weights that are none, or that leave a span without a place.
    """

    def __init__(self, spans: Sequence[Span], first: int, rows: int, schedule: Schedule, seed: int) -> None:
        self._borders, self._counts = apportioned(spans, first, rows, schedule)
        self._before = np.cumsum(self._counts, axis=1) - self._counts  # (spans, parts) slots of a span in earlier parts
        totals = self._counts.sum(axis=0)
        self._slots: list[int] = totals.tolist()
        # Where only one span has slots in a part, it is that span's number; otherwise -1.
        alone = (self._counts > 0).sum(axis=0) == 1
        self._alone: list[int] = np.where(alone, self._counts.argmax(axis=0), -1).tolist()
        self._states = [mix(seed, part) for part in range(len(totals))]
        self._seed = seed
        self._orders: OrderedDict[int, tuple[IntArray, IntArray]] = OrderedDict()

    def at(self, row: int) -> tuple[int, int] | None:
        """Return the span and the number of the slot in it that ``row`` carries, or None for a row of base text."""
        part = bisect_right(self._borders, row) - 1
        if not 0 <= part < len(self._slots):
            return None
        slots = self._slots[part]
        if not slots:
            return None
        first = self._borders[part]
        rows = self._borders[part + 1] - first
        # The stretch that holds ``row`` is that of the last slot k with k * rows // slots <= row - first. Solved for k
        # in whole numbers: k = ((row - first + 1) * slots - 1) // rows.
        slot = ((row - first + 1) * slots - 1) // rows
        # As in ``_row_of``, written out: this decides about every row of the run.
        start = slot * rows // slots
        if first + start + mixed_in(self._states[part], slot) % ((slot + 1) * rows // slots - start) != row:
            return None
        return self._of_span(part, slot)

    def slots_between(self, first: int, stop: int) -> list[tuple[int, tuple[int, int]]]:
        """Return the rows from ``first`` to ``stop`` (not included) that carry a slot, each with span and slot.

        There are far fewer slots than rows: the stretches between are looked at, not each row.
        """
        found: list[tuple[int, tuple[int, int]]] = []
        for part in range(max(bisect_right(self._borders, first) - 1, 0), len(self._slots)):
            begin, slots = self._borders[part], self._slots[part]
            if begin >= stop:
                break
            if not slots:
                continue
            # The stretch that holds a row is found as in ``at``.
            last = min(stop, self._borders[part + 1]) - 1 - begin
            of_part = self._borders[part + 1] - begin
            earliest = ((max(first - begin, 0) + 1) * slots - 1) // of_part
            for slot in range(earliest, ((last + 1) * slots - 1) // of_part + 1):
                row = self._row_of(part, slot)
                if first <= row < stop:
                    found.append((row, self._of_span(part, slot)))
        return found

    def before(self, row: int) -> IntArray:
        """Return how many slots of each span lie before ``row``: (spans,)."""
        part = min(bisect_right(self._borders, row), len(self._slots)) - 1
        if part < 0:
            return np.zeros(len(self._counts), dtype=np.int64)
        first, slots = self._borders[part], self._slots[part]
        done = 0
        if row > first and slots:
            # All stretches before that of row - 1 lie before ``row``; in its own stretch the jitter decides.
            done = (min(row - first, self._rows(part)) * slots - 1) // self._rows(part)
            done += self._row_of(part, done) < row
        before: IntArray = self._before[:, part].copy()
        if self._alone[part] >= 0:
            before[self._alone[part]] += done
        elif done:
            before += np.bincount(self._order(part)[0][:done], minlength=len(before))
        return before

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the remembered orders."""
        return self.__dict__ | {"_orders": OrderedDict()}

    def _of_span(self, part: int, slot: int) -> tuple[int, int]:
        """Return the span of a slot of a part, and the slot's number in that span."""
        span = self._alone[part]
        if span < 0:
            spans, places = self._order(part)
            span, slot = int(spans[slot]), int(places[slot])
        return span, int(self._before[span, part]) + slot

    def _rows(self, part: int) -> int:
        return self._borders[part + 1] - self._borders[part]

    def _row_of(self, part: int, slot: int) -> int:
        """Return the row of a slot: the start of its stretch and a hash of (seed, part, slot) within the stretch."""
        rows, slots = self._rows(part), self._slots[part]
        start, stop = slot * rows // slots, (slot + 1) * rows // slots
        return self._borders[part] + start + mixed_in(self._states[part], slot) % (stop - start)

    def _order(self, part: int) -> tuple[IntArray, IntArray]:
        """Return for each slot of a part its span, (slots,), and its number among that span's slots there, (slots,).

        Slot j of a span's n comes at (j + 1/2) / n of the part, so each span's slots are spread over all of it.
        """
        order = self._orders.get(part)
        if order is None:
            counts = self._counts[:, part]
            spans = np.repeat(np.arange(len(counts)), counts)
            places = np.arange(len(spans)) - np.repeat(np.cumsum(counts) - counts, counts)
            shuffled = np.argsort([mix(self._seed, part, span) for span in range(len(counts))], kind="stable")
            rank = np.argsort(shuffled)  # spans with the same number of slots take turns in a seeded order
            by_time = np.lexsort((rank[spans], (places + 0.5) / counts[spans]))
            order = self._orders[part] = (spans[by_time], places[by_time])
            if len(self._orders) > _KEPT:
                self._orders.popitem(last=False)
        return order
