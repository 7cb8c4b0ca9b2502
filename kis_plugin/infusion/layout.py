"""The rounds of a run laid over its rows, less what throttles leave out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kis_plugin.hashing import IntArray
from kis_plugin.infusion.apportion import Span, TooDense
from kis_plugin.infusion.protocols import OrderedSchedule, Schedule
from kis_plugin.infusion.rounds.groups import Cohort
from kis_plugin.infusion.rounds.packing import Whole
from kis_plugin.infusion.rounds.round_packings import RowLimits
from kis_plugin.infusion.rounds.round_sequence import RoundSequence
from kis_plugin.infusion.rounds.template_order import TemplateOrder
from kis_plugin.infusion.row_map import RowMap
from kis_plugin.infusion.throttle import Kept, remaining, removed_exposures
from kis_plugin.infusion.throttle_file import ThrottleFile

__all__ = ["Layout", "Window", "laid_out"]

_MOST_INLINE = 64  # texts that one row takes between its sentences, at most


@dataclass(frozen=True)
class Window:
    """The rows of the run between which anything is infused.

    Attributes:
        first: The first of them.
        rows: How many there are.
        schedule: How densely each part of them is infused.
    """

    first: int
    rows: int
    schedule: Schedule


class NoRoom(Exception):  # noqa: N818 (caught by the plan, which words the error)
    """The slots do not fit; ``slots`` is how many there are, ``fits`` the part of them that would."""

    def __init__(self, slots: int, fits: float) -> None:
        self.slots, self.fits = slots, fits
        super().__init__(slots, fits)


class Layout:
    """Which texts each row carries.

    Args:
        sequences: The rounds of each cohort.
        row_map: Where their slots lie; its spans are the cohorts.

    Attributes:
        slots: Infused rows, before any throttle.
        throttles: Where less is shown than planned; None: nowhere, for ever.
    """

    def __init__(self, sequences: Sequence[RoundSequence], row_map: RowMap) -> None:
        self._sequences, self._row_map = sequences, row_map
        self.slots = sum(sequence.slots for sequence in sequences)
        self.throttles: ThrottleFile | None = None
        self._kept: list[list[Kept]] = []  # of each throttle that this process has seen, what it leaves of each cohort

    def infused(self, row: int) -> bool:
        """Return whether anything is infused into global row ``row``."""
        return self._slot(row) is not None

    def slots_between(self, first: int, stop: int) -> list[tuple[int, tuple[int, int]]]:
        """Return the rows from ``first`` to ``stop`` (not included) that are infused, with cohort and slot of each."""
        slots = self._row_map.slots_between(first, stop)
        return [(row, at) for row, at in slots if self._slot(row)] if self.throttles else slots

    def texts_in(self, row: int) -> Whole | None:
        """Return the numbers of the texts that row ``row`` carries, in order, or None for base text."""
        at = self._slot(row)
        return None if at is None else self.texts_at(*at)

    def texts_at(self, cohort: int, slot: int) -> Whole:
        """Return the numbers of the texts of a slot, in the order in which its row shows them."""
        return self._sequences[cohort].texts_of_slot(slot)

    def removed(self, items: int) -> IntArray | int:
        """Return how many exposures of each item throttles take away: (items,), or 0 where there are none."""
        self._apply_new_throttles()
        return sum(
            removed_exposures(sequence, [of_cohorts[number] for of_cohorts in self._kept], items)
            for number, sequence in enumerate(self._sequences if self._kept else ())
        )

    def _slot(self, row: int) -> tuple[int, int] | None:
        """Return the cohort and the slot that row ``row`` carries, or None for base text."""
        at = self._row_map.at(row)
        if at is None or not self.throttles:
            return at
        self._apply_new_throttles()
        number, slot = at
        sequence = self._sequences[number]
        # A slot is shown if every throttle so far has left it; dropped slots keep their row, which stays base text.
        return at if all(kept[number].holds(sequence, slot) for kept in self._kept) else None

    def _apply_new_throttles(self) -> None:
        """Work out what throttles leave that were added since this process last looked."""
        while len(self._kept) < len(self.throttles or ()):
            assert self.throttles is not None
            row, keep = self.throttles[len(self._kept)]
            # A throttle applies from a row on; each cohort's slots before that row are counted off by the row map.
            firsts = self._row_map.before(row).tolist()
            self._kept.append(
                [
                    remaining(sequence, first, keep, [kept[number] for kept in self._kept])
                    for number, (sequence, first) in enumerate(zip(self._sequences, firsts, strict=True))
                ]
            )


def laid_out(
    cohorts: Sequence[Cohort],
    templates: TemplateOrder,
    window: Window,
    room: int,
    one_by_one: bool,
    seed: int,
    cache: Path | None,
) -> Layout:
    """Pack the rounds of each cohort and lay them over the window.

    Args:
        cohorts: Items, how often each is shown, and the rows in which they are valid.
        templates: Which template a round uses.
        window: Where the slots go.
        room: Infused tokens that one row takes, at most.
        one_by_one: Whether a row should take one text, and more only where there are too few rows for that.
        seed: Of everything random here.
        cache: Where packings are kept; None for in memory.

    Raises:
        NoRoom: The exposures need more rows than there are.
    """
    # Texts that stand by themselves get a row each while there are enough rows. Where the schedule is too dense for
    # that, a row takes two, then four, so that texts stay spread as widely as they can.
    schedule = window.schedule
    in_order = isinstance(schedule, OrderedSchedule) and schedule.in_order
    most = 1 if one_by_one else None
    while True:
        # The limit decides how many slots a round has, so everything is packed anew with each limit.
        limits = RowLimits(room, most, in_order)
        sequences = [
            RoundSequence(templates, cohort.members, cohort.exposures, limits, (seed, 8, number), cache)
            for number, cohort in enumerate(cohorts)
        ]
        slots = sum(sequence.slots for sequence in sequences)
        try:
            if slots > window.rows:
                raise TooDense(window.rows / slots)
            spans = [
                Span(cohort.first, cohort.stop, sequence.slots)
                for cohort, sequence in zip(cohorts, sequences, strict=True)
            ]
            return Layout(sequences, RowMap(spans, window.first, window.rows, schedule, seed))
        except TooDense as dense:
            if most is None or most >= _MOST_INLINE:
                raise NoRoom(slots, dense.fits) from None
            most *= 2
