"""How many slots each part of the run gets: whole numbers in the proportions of a schedule, their sums exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

import numpy as np

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.infusion.protocols import Schedule

__all__ = ["Span", "TooDense", "apportioned"]

_PARTS = 256  # of the window, each with its weight
_SPANS = 1000  # different times of validity, at most
_STRAY = 0.01  # of the slots may lie in another part than the schedule says, where rounding overfills one


@dataclass(frozen=True)
class Span:
    """Rows ``first`` to ``stop`` (not included) of the run, and how many slots are to lie in them."""

    first: int
    stop: int
    slots: int


class TooDense(Exception):  # noqa: N818 (caught by the plan, which words the error)
    """More slots than rows, somewhere; ``fits`` is the part of the slots that would have rows."""

    def __init__(self, fits: float) -> None:
        self.fits = fits
        super().__init__(fits)


def apportioned(spans: Sequence[Span], first: int, rows: int, schedule: Schedule) -> tuple[list[int], IntArray]:
    """Cut the window into parts and give each span its number of slots in each part.

    Args:
        spans: Each within the window.
        first: First row of the window.
        rows: Rows of the window.
        schedule: How densely each part of the window is infused.

    Returns:
        The borders of the parts, row numbers, and the slots of each span in each part: (spans, parts).

    Raises:
        TooDense: In some part the schedule needs more slots than there are rows.
        KISError: Weights that are none, or that leave a span without a place.
    """
    density = _Density.of(schedule, first, rows)
    # Parts end where the density changes and where a span begins or ends: inside a part nothing changes.
    ends = {border for span in spans if span.slots for border in (span.first, span.stop)}
    if len(ends) > 2 * _SPANS:
        found = f"{len(ends) // 2} different times from which or until which facts hold"
        raise KISError(Problem("knowledge", found, f"at most {_SPANS}", "Round from and until, to 0.01 say."))
    borders = sorted({*density.borders, *ends})
    mass = {border: density.mass(border) for border in borders}
    counts = np.array([_of_span(span, mass) for span in spans], dtype=np.int64)
    counts = counts.reshape(len(spans), max(len(borders) - 1, 0))
    return borders, _fitted(counts, spans, borders)


@dataclass(frozen=True)
class _Density:
    """A density in steps: ``weights[i]`` from ``borders[i]`` up to the next border."""

    borders: list[int]
    weights: list[int]

    @classmethod
    def of(cls, schedule: Schedule, first: int, rows: int) -> _Density:
        """Return a schedule's density over the window; neighbouring parts of the same weight are joined."""
        parts = min(_PARTS, rows)
        runs = [(weight, len(list(same))) for weight, same in groupby(_weights(schedule, parts))]
        ends = [0, *accumulate(length for _, length in runs)]
        return cls([first + end * rows // max(parts, 1) for end in ends], [weight for weight, _ in runs])

    def mass(self, row: int) -> int:
        """Return the weight of all rows before ``row``: the density's integral, in whole numbers."""
        steps = zip(self.borders, self.borders[1:], self.weights, strict=False)
        return sum(weight * (min(stop, row) - start) for start, stop, weight in steps if start < row)


def _of_span(span: Span, mass: Mapping[int, int]) -> list[int]:
    """Return the slots of ``span`` between each border and the next.

    Cumulative rounding: before a border lie ⌊slots * m⌋ slots, m being the part of the span's mass before it. The
    differences are whole, stray from the exact proportion by less than one, and add up to ``slots`` without remainder.
    """
    if not span.slots:
        return [0] * max(len(mass) - 1, 0)
    low, high = mass[span.first], mass[span.stop]
    if low == high:
        found = f"no weight in rows {span.first:,} to {span.stop:,} of the run, where facts are to be infused"
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


def _fitted(counts: IntArray, spans: Sequence[Span], borders: Sequence[int]) -> IntArray:
    """Move what rounding put into a full part to its neighbours; refuse what is more than rounding.

    Several spans round on their own, so a part that is nearly full may get a few slots more than it has rows. Those go
    to the next part of the same span, first forwards, then backwards.
    """
    room = np.array([stop - start for start, stop in pairwise(borders)], dtype=np.int64)
    total, allowed = int(counts.sum()), len(spans) * 2 + int(counts.sum() * _STRAY)
    densest = float((counts.sum(axis=0) / np.maximum(room, 1)).max(initial=0.0))
    # Each span rounds by less than one slot at either border; anything beyond that is a schedule too dense, not
    # rounding.
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
