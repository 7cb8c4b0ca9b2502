"""Which items share an amount, and in which rows of the run they are valid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from kis_plugin.config.schema import InfusionConfig
from kis_plugin.errors import KISError, Problem
from kis_plugin.infusion.rounds.exposures import Exposures, whole_exposures
from kis_plugin.infusion.rounds.packing import Whole
from kis_plugin.infusion.rounds.template_order import TemplateOrder

__all__ = ["Cohort", "Group", "grouped", "row_at", "split_by_validity"]


@dataclass(frozen=True)
class Group:
    """Items that share an amount.

    Attributes:
        members: Their numbers, sorted.
        exposures: How often each is shown.
    """

    members: Whole
    exposures: Exposures

    def tokens(self, templates: TemplateOrder) -> int:
        """Return the tokens of all exposures."""
        exposures, cycle = self.exposures, templates.cycle
        # Rounds of equal templates have equal lengths, so one cycle is summed and multiplied.
        cycles, rest = divmod(exposures.rounds, cycle)
        totals = [int(templates.lengths(turn, self.members).sum()) for turn in range(cycle)]
        extra = templates.lengths(exposures.rounds, self.members[exposures.extra])
        return cycles * sum(totals) + sum(totals[:rest]) + int(extra.sum())

    def tokens_per_round(self, templates: TemplateOrder) -> float:
        """Return the tokens of one exposure of every item, the mean over templates."""
        return float(np.mean([templates.lengths(turn, self.members).sum() for turn in range(templates.cycle)]))


@dataclass(frozen=True)
class Cohort:
    """Items of one group that are valid in the same part of the run.

    Attributes:
        members: Their numbers, sorted.
        exposures: How often each is shown.
        first: First row of the run in which they are valid.
        stop: First row after ``first`` in which they no longer are.
    """

    members: Whole
    exposures: Exposures
    first: int
    stop: int


def grouped(
    templates: TemplateOrder, amount: InfusionConfig, known: npt.NDArray[np.bool_] | None, tokens: int, seed: int
) -> list[Group]:
    """Return the items by amount: first those that get the whole amount, then the known ones, if there are any.

    Args:
        templates: Which template a round uses.
        amount: The configured amount, and ``known_frequency`` for known items.
        known: (items,) which items the model knew before; None if none.
        tokens: Token budget D of the run.
        seed: Of the choice of extra exposures.

    Raises:
        KISError: Known items alone take more than the configured share or tokens.
    """
    if known is None or not known.any():
        everything = np.arange(len(templates.source), dtype=templates.dtype)
        return [_group(templates, amount, everything, templates.cycle, tokens, seed)]
    # Known items have a frequency of their own, in whatever unit the whole amount is given.
    less = InfusionConfig(frequency=amount.known_frequency)
    of_known = _group(templates, less, np.flatnonzero(known).astype(templates.dtype), 1, tokens, seed)
    if amount.frequency is None:  # share and tokens are of the whole infusion: known items take theirs first
        taken = of_known.tokens(templates)
        whole = amount.tokens if amount.tokens is not None else int((amount.share or 0.0) * tokens)
        if taken > whole:
            count = len(of_known.members)
            found = f"{amount.known_frequency:g}, which takes {taken:,} tokens for {count:,} known facts"
            raise KISError(Problem("infusion.known_frequency", found, f"at most the whole amount, {whole:,} tokens"))
        amount = InfusionConfig(tokens=whole - taken)
    # The first group is what ``frequency`` in reports and errors is about.
    members = np.flatnonzero(~known).astype(templates.dtype)
    return [_group(templates, amount, members, templates.cycle, tokens, seed), of_known]


def split_by_validity(
    group: Group, validity: npt.NDArray[np.float64] | None, window: tuple[float, float], rows: int
) -> Iterator[Cohort]:
    """Yield the items of one group by the rows of the run in which they are valid.

    Args:
        group: The items.
        validity: (all items, 2) from which to which fraction of the run each is valid; None: all of it.
        window: The fractions of the run between which anything is infused.
        rows: Rows of the run.

    Raises:
        KISError: Items to show that are valid nowhere in the window.
    """
    members, exposures = group.members, group.exposures
    window_first = row_at(window[0], rows)
    window_stop = max(row_at(window[1], rows), window_first)
    if validity is None or not len(members):
        yield Cohort(members, exposures, window_first, window_stop)
        return
    # One cohort for each distinct time of validity: a few, however many items there are.
    spans, which = np.unique(validity[members], axis=0, return_inverse=True)
    # Extra exposures were given out over the whole group; the mask hands each cohort its own.
    extra = np.zeros(len(members), dtype=np.bool_)
    extra[exposures.extra] = True
    for number, (start, until) in enumerate(spans.tolist()):
        mine = np.flatnonzero(which.ravel() == number)
        # The time of validity cut to the window; where they do not meet, first and stop are equal.
        first = min(max(row_at(start, rows), window_first), window_stop)
        stop = max(min(row_at(until, rows), window_stop), first)
        if first == stop and exposures.counts(len(members))[mine].any():
            found = f"facts that hold from {start:g} until {until:g} of the run, outside the window"
            expected = f"facts that hold in some of the window {list(window)}"
            raise KISError(Problem("infusion.window", found, expected, "Leave them out, or widen the window."))
        yield Cohort(members[mine], Exposures(exposures.rounds, np.flatnonzero(extra[mine])), first, stop)


def row_at(fraction: float, rows: int) -> int:
    """Return the first row at or after a fraction of the run, exactly: 0.7 of 10 rows is row 7."""
    # As the number is written: in binary floating point 0.07 * 100 is a little above 7, and its ceiling 8.
    return math.ceil(Fraction(str(fraction)) * rows)


def _group(
    templates: TemplateOrder, amount: InfusionConfig, members: Whole, cycle: int, tokens: int, seed: int
) -> Group:
    exposures = whole_exposures(
        amount, lambda turn: templates.lengths(turn, members), len(members), cycle, tokens, seed
    )
    return Group(members, exposures)
