"""Which slot each row of the run carries, by arithmetic alone.

The window is cut into parts, and every span of the run that has slots gets its number of them in each part, as the
schedule's weights say. Within a part slots lie evenly, with seeded jitter: slot k of n somewhere in the stretch
``[k * rows // n, (k + 1) * rows // n)`` of the part's rows. The stretches tile the part, so every slot has exactly one
row and local frequency never strays by more than one row from what the schedule says.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Any

import numpy as np

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray, mix, mixed_in
from kis_plugin.infusion.protocols import Schedule

__all__ = ["RowMap", "Span", "TooDense"]

PARTS = 256
_SPANS = 1000
_STRAY = 0.01  # of the slots may lie in another part than the schedule says, where rounding overfills one
_KEPT = 4  # parts whose order of spans is remembered


@dataclass(frozen=True)
class Span:
    """Rows ``first`` to ``stop`` (not included) of the run, and how many slots are to lie in them."""

    first: int
    stop: int
    slots: int


class TooDense(Exception):  # noqa: N818 (an answer to the plan, which knows what to tell the user)
    """More slots than rows, somewhere; ``fits`` is the part of the slots that would have rows."""

    def __init__(self, fits: float) -> None:
        self.fits = fits
        super().__init__(fits)


class RowMap:
    """Lays the slots of some spans over the rows of a window, no two on one row.

    Args:
        spans: Each within the window.
        first: First row of the window.
        rows: Rows of the window.
        schedule: How densely each part of the window is infused.
        seed: Of the jitter.

    Raises:
        TooDense: The schedule wants more slots somewhere than there are rows.
        KISError: Weights that are none, or that leave a span without a place.
    """

    def __init__(self, spans: Sequence[Span], first: int, rows: int, schedule: Schedule, seed: int) -> None:
        parts = min(PARTS, rows)
        runs = [(weight, len(list(same))) for weight, same in groupby(_weights(schedule, parts))]
        ends = [0, *accumulate(length for _, length in runs)]
        shape = _Shape(first, [first + end * rows // max(parts, 1) for end in ends], [weight for weight, _ in runs])
        borders = {border for span in spans if span.slots for border in (span.first, span.stop)}
        if len(borders) > 2 * _SPANS:
            found = f"{len(borders) // 2} different times from which or until which facts hold"
            raise KISError(Problem("knowledge", found, f"at most {_SPANS}", "Round from and until, to 0.01 say."))
        self._borders = sorted({*shape.borders, *borders})
        mass = {border: shape.mass(border) for border in self._borders}
        counts = np.array([_apportioned(span, mass) for span in spans], dtype=np.int64)
        counts = counts.reshape(len(spans), max(len(self._borders) - 1, 0))  # (spans, parts)
        room = np.array([stop - start for start, stop in pairwise(self._borders)], dtype=np.int64)
        self._counts = _fitted(counts, room, spans, self._borders)
        self._before = np.cumsum(self._counts, axis=1) - self._counts  # (spans, parts) slots of a span in earlier parts
        totals = self._counts.sum(axis=0)
        self._slots: list[int] = totals.tolist()
        alone = (self._counts > 0).sum(axis=0) == 1
        self._alone: list[int] = np.where(alone, self._counts.argmax(axis=0), -1).tolist()
        self._states = [mix(seed, part) for part in range(len(room))]
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
        slot = ((row - first + 1) * slots - 1) // rows  # the last whose stretch starts at or before row
        start = slot * rows // slots
        if first + start + mixed_in(self._states[part], slot) % ((slot + 1) * rows // slots - start) != row:
            return None
        span = self._alone[part]
        if span < 0:
            spans, places = self._order(part)
            span, slot = int(spans[slot]), int(places[slot])
        return span, int(self._before[span, part]) + slot

    def before(self, row: int) -> IntArray:
        """Return how many slots of each span lie before ``row``: (spans,)."""
        part = min(bisect_right(self._borders, row), len(self._slots)) - 1
        if part < 0:
            return np.zeros(len(self._counts), dtype=np.int64)
        first, slots = self._borders[part], self._slots[part]
        rows = self._borders[part + 1] - first
        done = 0
        if row > first and slots:
            done = (min(row - first, rows) * slots - 1) // rows  # the last whose stretch starts before row
            start = done * rows // slots
            own = first + start + mixed_in(self._states[part], done) % ((done + 1) * rows // slots - start)
            done += own < row
        before: IntArray = self._before[:, part].copy()
        if self._alone[part] >= 0:
            before[self._alone[part]] += done
        elif done:
            before += np.bincount(self._order(part)[0][:done], minlength=len(before))
        return before

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the remembered orders."""
        return self.__dict__ | {"_orders": OrderedDict()}

    def _order(self, part: int) -> tuple[IntArray, IntArray]:
        """Return for each slot of a part its span, (slots,), and its place among that span's, (slots,).

        Slot j of a span's n comes at (j + 1/2) / n of the part: each span's slots are spread over all of it.
        """
        order = self._orders.get(part)
        if order is None:
            counts = self._counts[:, part]
            spans = np.repeat(np.arange(len(counts)), counts)
            places = np.arange(len(spans)) - np.repeat(np.cumsum(counts) - counts, counts)
            shuffled = np.argsort([mix(self._seed, part, span) for span in range(len(counts))], kind="stable")
            rank = np.argsort(shuffled)  # spans of equal numbers take turns in seeded order
            by_time = np.lexsort((rank[spans], (places + 0.5) / counts[spans]))
            order = self._orders[part] = (spans[by_time], places[by_time])
            if len(self._orders) > _KEPT:
                self._orders.popitem(last=False)
        return order


@dataclass(frozen=True)
class _Shape:
    """A density in steps: ``weights[i]`` from ``borders[i]`` up to the next border."""

    first: int
    borders: list[int]
    weights: list[int]

    def mass(self, row: int) -> int:
        """Return the weight of all rows before ``row``."""
        steps = zip(self.borders, self.borders[1:], self.weights, strict=False)
        return sum(weight * (min(stop, row) - start) for start, stop, weight in steps if start < row)


def _apportioned(span: Span, mass: Mapping[int, int]) -> list[int]:
    """Return the slots of ``span`` between one border and the next: by the mass before each, the sum exact."""
    if not span.slots:
        return [0] * max(len(mass) - 1, 0)
    low, high = mass[span.first], mass[span.stop]
    if low == high:
        found = f"no weight in rows {span.first:,} to {span.stop:,} of the run, where facts are to be told"
        hint = "Widen the window, or the time from `from` to `until`, or take another schedule."
        raise KISError(Problem("infusion.schedule", found, "a schedule that has room there", hint))
    done = [span.slots * (min(max(before, low), high) - low) // (high - low) for before in mass.values()]
    return [after - before for before, after in pairwise(done)]


def _weights(schedule: Schedule, parts: int) -> list[int]:
    found = [int(weight) for weight in schedule.weights(parts)] if parts else []
    if len(found) != parts or min(found, default=0) < 0 or (parts and not any(found)):
        shown = f"{len(found)} weights from {min(found, default=0)} to {max(found, default=0)} for {parts} parts"
        raise KISError(Problem(f"schedule {schedule.name}", shown, "one for each part, not negative, not all 0"))
    return found


def _fitted(counts: IntArray, room: IntArray, spans: Sequence[Span], borders: Sequence[int]) -> IntArray:
    """Move what rounding put into a full part to its neighbours; refuse what is more than rounding."""
    total, allowed = int(counts.sum()), len(spans) * 2 + int(counts.sum() * _STRAY)
    densest = float((counts.sum(axis=0) / np.maximum(room, 1)).max(initial=0.0))
    if int(np.maximum(counts.sum(axis=0) - room, 0).sum()) > allowed or total > int(room.sum()):
        raise TooDense(1 / densest)
    for step in (1, -1):
        parts = range(len(room)) if step == 1 else range(len(room) - 1, -1, -1)
        for part in parts:
            for number, span in enumerate(spans):
                over = int(counts[:, part].sum()) - int(room[part])
                if over <= 0:
                    break
                to = part + step
                if 0 <= to < len(room) and span.first <= borders[to] and borders[to + 1] <= span.stop:
                    moved = min(over, int(counts[number, part]))
                    counts[number, part] -= moved
                    counts[number, to] += moved
    if (counts.sum(axis=0) > room).any():
        raise TooDense(1 / densest)
    return counts
