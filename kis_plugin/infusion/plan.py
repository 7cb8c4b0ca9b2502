"""The plan of one run: from a global row index to the texts that row carries, by arithmetic alone.

Items that share an amount and a part of the run are dealt together (``deal.py``): their exposures, round by round, are
the slots. The timetable (``row_map.py``) lays the slots of all deals over the rows of the window. Nothing is stored
per exposure and nothing changes while the run goes on, so any worker of any rank, before or after a resume, gets the
same answer for the same row.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.config.schema import AMOUNTS, InfusionConfig
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.infusion.exposures import Exposures, exposures
from kis_plugin.infusion.packing import Whole
from kis_plugin.infusion.placement import InRows, Placement
from kis_plugin.infusion.protocols import Schedule
from kis_plugin.infusion.rounds import RoundSequence, Wordings
from kis_plugin.infusion.row_map import RowMap, Span, TooDense
from kis_plugin.infusion.throttle import Kept, Throttles, throttled
from kis_plugin.run.placed_row import Placed
from kis_plugin.storage.npy_files import release
from kis_plugin.tokenized.texts import TokenizedTexts

__all__ = ["InfusionPlan"]

Cohort = tuple[Whole, Exposures, int, int]
"""Items, how often each is shown, and the rows of the run, first and stop, in which they hold."""

_RELEASE = 4096  # rows told after which mapped pages are let go of: they would add up to the whole file
_MOST_INLINE = 64  # texts that one row takes between its sentences, at most


class InfusionPlan:
    """Which texts every row of the run carries.

    Args:
        items: What is infused.
        amount: How much, in which window, worded how.
        schedule: How densely each part of the window is infused.
        rows: Rows of the whole run.
        sequence_length: Tokens a row.
        seed: Of everything random here.
        placement: Where in a row texts stand; at its start by default.
        holds: (items, 2) from which to which fraction of the run each item holds; None: all of it.
        known: (items,) whether an item gets the amount for known facts; None: none does.
        cache: Where packings are kept; None for in memory.
        identity: What else a resume must find again, by name.

    Attributes:
        frequency: Mean exposures per item, known ones left out.
        tokens_per_round: Tokens it takes to show everything once that is not known already, the mean over wordings.
        infused_tokens: Tokens of all exposures, their EOS included.
        infused_rows: Rows that are infused.
        throttles: Where less is told than planned; None: nowhere, for ever.

    Raises:
        KISError: The amount needs more rows than there are.
    """

    def __init__(
        self,
        items: TokenizedTexts,
        amount: InfusionConfig,
        schedule: Schedule,
        rows: int,
        sequence_length: int,
        seed: int,
        placement: Placement | None = None,
        holds: npt.NDArray[np.float64] | None = None,
        known: npt.NDArray[np.bool_] | None = None,
        cache: Path | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        self.items, self.rows, self.sequence_length, self.seed = items, rows, sequence_length, seed
        self.schedule, self.placement = schedule, placement or InRows()
        self.first, stop = _row_at(amount.window[0], rows), _row_at(amount.window[1], rows)
        self.window = max(stop - self.first, 0)
        self._amount, self._cache, self._identity = amount, cache, dict(identity or {})
        self._wordings = Wordings(items, amount.template_order == "random", seed)
        groups = list(self._grouped(known))
        members, shown = groups[0]
        self.frequency = shown.rounds + len(shown.extra) / len(members) if len(members) else 0.0
        cycle = range(self._wordings.cycle)
        self.tokens_per_round = float(np.mean([self._wordings.lengths(turn, members).sum() for turn in cycle]))
        self.infused_tokens = sum(self._tokens_of(members, shown) for members, shown in groups)
        # What follows is kept, and pickled: nothing that says "all of ten million" by naming each.
        whole = len(groups) == 1
        self._groups = [(slice(None) if whole else members, len(members), shown) for members, shown in groups]
        cohorts = [cohort for group in groups for cohort in self._split(*group, holds)]
        self._spans = [(first, stop) for _, _, first, stop in cohorts]
        most = None if not self.placement.anywhere else 1
        while True:
            try:
                self._deals = self._dealt(cohorts, most)
                self._row_map = self._laid_out()
                break
            except TooDense as dense:
                if most is None or most >= _MOST_INLINE:
                    raise self._too_much(dense) from None
                most *= 2
        self.infused_rows = sum(deal.slots for deal in self._deals)
        self.throttles: Throttles | None = None
        self._kept: list[list[Kept]] = []  # of each easing that this process has met, what is left of each deal
        self._told = 0  # rows, by this process

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.items)

    @property
    def counts(self) -> IntArray:
        """Exposures of each item in the whole run, as asked for: (items,)."""
        counts = np.zeros(len(self.items), dtype=np.int64)
        for members, size, shown in self._groups:
            counts[members] = shown.counts(size)
        return counts

    @property
    def throttled_counts(self) -> IntArray:
        """Exposures of each item in the whole run, less what easings take away: (items,)."""
        counts = self.counts
        self._meet_throttles()
        for number, deal in enumerate(self._deals if self._kept else ()):
            kept = [of_deals[number] for of_deals in self._kept]
            for turn in range(deal.round_of(kept[0].first) if kept[0].first < deal.slots else deal.rounds, deal.rounds):
                start, stop = deal.first_of(turn), deal.first_of(turn + 1)
                cut = min((one.first for one in kept if not one.rounds[turn]), default=stop)
                if cut <= start:
                    counts[deal.texts_in(turn) % len(self)] -= 1
                for slot in range(cut, stop if cut > start else cut):
                    counts[deal.bundle(slot) % len(self)] -= 1
        return counts

    def infused(self, row: int) -> bool:
        """Return whether anything is infused into global row ``row``."""
        return self._slot(row) is not None

    def texts_in(self, row: int) -> npt.NDArray[np.integer] | None:
        """Return the numbers of the texts that row ``row`` carries, in order, or None for base text."""
        at = self._slot(row)
        return None if at is None else self._deals[at[0]].bundle(at[1])

    def drawing(self, stop: int) -> None:
        """Note that rows before ``stop`` may be in the making: they are told as planned, whatever is eased later."""
        if self.throttles is not None:
            self.throttles.drawing(stop)

    def place(self, row: int, base: npt.NDArray[np.integer]) -> Placed | None:
        """Return how row ``row`` is infused, or None for a row of base text."""
        texts = self.texts_in(row)
        if texts is None:
            return None
        self._told += 1
        if self._told % _RELEASE == 0:
            release(self.items.tokens, self.items.offsets)
        where, lengths = self._where(texts)
        return Placed(
            tokens=self.items.tokens[where].astype(np.int32, copy=False),
            lengths=lengths,
            pieces=self.placement.pieces(row, lengths, base),
            targets=None if self.items.targets is None else self.items.targets[where].astype(np.bool_),
        )

    def tokens(self, texts: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
        """Return the tokens of some texts, one after the other."""
        return self.items.tokens[self._where(texts)[0]].astype(np.int32, copy=False)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what must be the same for a resumed run to keep its counts, by name."""
        return {
            **self._identity,
            "items": self.items.fingerprint,
            "exposures": [[size, shown.rounds, len(shown.extra)] for _, size, shown in self._groups],
            "slots": self.infused_rows,
            "templates": self._amount.template_order,
            "placement": self.placement.name,
            "rows": self.rows,
            "block": self.sequence_length,
            "window": [self.first, self.window],
            "schedule": [self.schedule.name, *self.schedule.weights(64)],
            "seed": self.seed,
        }

    @cached_property
    def schedule_hash(self) -> str:
        """Hash of the fingerprint."""
        return hashlib.sha256(json.dumps(self.fingerprint(), sort_keys=True).encode()).hexdigest()[:16]

    def _slot(self, row: int) -> tuple[int, int] | None:
        """Return the deal and the slot that row ``row`` carries, or None for base text."""
        at = self._row_map.at(row)
        if at is None or not self.throttles:
            return at
        self._meet_throttles()
        number, slot = at
        deal = self._deals[number]
        return at if all(kept[number].holds(deal, slot) for kept in self._kept) else None

    def _meet_throttles(self) -> None:
        """Work out what easings leave that were added since this process last looked."""
        while len(self._kept) < len(self.throttles or ()):
            assert self.throttles is not None
            row, keep = self.throttles[len(self._kept)]
            firsts = self._row_map.before(row).tolist()
            self._kept.append(
                [
                    throttled(deal, first, keep, [kept[number] for kept in self._kept])
                    for number, (deal, first) in enumerate(zip(self._deals, firsts, strict=True))
                ]
            )

    def _grouped(self, known: npt.NDArray[np.bool_] | None) -> Iterator[tuple[Whole, Exposures]]:
        """Yield items with how often each is shown: those that get the whole amount first, then the known ones."""
        tokens = self.rows * self.sequence_length
        amount = self._amount
        if known is not None and known.any():
            less = InfusionConfig(frequency=amount.known_frequency)
            rest = np.flatnonzero(known).astype(self._wordings.dtype)
            shown = exposures(less, lambda turn: self._wordings.lengths(turn, rest), len(rest), 1, tokens, self.seed)
            told = self._tokens_of(rest, shown)
            members = np.flatnonzero(~known).astype(self._wordings.dtype)
        else:
            rest, shown, told = np.empty(0, dtype=self._wordings.dtype), None, 0
            members = np.arange(len(self.items), dtype=self._wordings.dtype)
        if amount.frequency is None:
            asked = amount.tokens if amount.tokens is not None else int((amount.share or 0.0) * tokens)
            if told > asked:
                found = f"{amount.known_frequency:g}, which takes {told:,} tokens for {len(rest):,} known facts"
                expected = f"at most the whole amount, {asked:,} tokens"
                raise KISError(Problem("infusion.known_frequency", found, expected))
            amount = InfusionConfig(tokens=asked - told)
        lengths, cycle = self._wordings.lengths, self._wordings.cycle
        yield (
            members,
            exposures(amount, lambda turn: lengths(turn, members), len(members), cycle, tokens, self.seed),
        )
        if shown is not None:
            yield rest, shown

    def _split(self, members: Whole, shown: Exposures, holds: npt.NDArray[np.float64] | None) -> Iterator[Cohort]:
        """Yield the items of one group by the rows of the run in which they hold."""
        last = self.first + self.window
        if holds is None or not len(members):
            yield members, shown, self.first, last
            return
        spans, which = np.unique(holds[members], axis=0, return_inverse=True)
        extra = np.zeros(len(members), dtype=np.bool_)
        extra[shown.extra] = True
        for number, (start, until) in enumerate(spans.tolist()):
            mine = np.flatnonzero(which.ravel() == number)
            first = min(max(_row_at(start, self.rows), self.first), last)
            stop = max(min(_row_at(until, self.rows), last), first)
            if first == stop and shown.counts(len(members))[mine].any():
                found = f"facts that hold from {start:g} until {until:g} of the run, outside the window"
                expected = f"facts that hold in some of the window {list(self._amount.window)}"
                raise KISError(Problem("infusion.window", found, expected, "Leave them out, or widen the window."))
            yield members[mine], Exposures(shown.rounds, np.flatnonzero(extra[mine])), first, stop

    def _dealt(self, cohorts: Sequence[Cohort], most: int | None) -> list[RoundSequence]:
        room = self.placement.room(self.sequence_length)
        in_order = bool(getattr(self.schedule, "in_order", False))
        return [
            RoundSequence(self._wordings, members, shown, room, most, in_order, (self.seed, 8, number), self._cache)
            for number, (members, shown, _, _) in enumerate(cohorts)
        ]

    def _laid_out(self) -> RowMap:
        slots = sum(deal.slots for deal in self._deals)
        if slots > self.window:
            raise TooDense(self.window / slots)
        spans = [Span(first, stop, deal.slots) for deal, (first, stop) in zip(self._deals, self._spans, strict=True)]
        return RowMap(spans, self.first, self.window, self.schedule, self.seed)

    def _tokens_of(self, members: Whole, shown: Exposures) -> int:
        cycles, rest = divmod(shown.rounds, self._wordings.cycle)
        totals = [int(self._wordings.lengths(turn, members).sum()) for turn in range(self._wordings.cycle)]
        extra = self._wordings.lengths(shown.rounds, members[shown.extra])
        return cycles * sum(totals) + sum(totals[:rest]) + int(extra.sum())

    def _where(self, texts: npt.NDArray[np.integer]) -> tuple[IntArray, tuple[int, ...]]:
        """Return the indices of the tokens of some texts, and the length of each text."""
        starts = self.items.offsets[texts]
        lengths = self.items.offsets[texts + 1] - starts
        where = (starts - lengths.cumsum() + lengths).repeat(lengths)
        where += np.arange(len(where))
        return where, tuple(lengths.tolist())

    def _too_much(self, dense: TooDense) -> KISError:
        name = next(key for key in AMOUNTS if getattr(self._amount, key) is not None)
        slots = sum(deal.slots for deal in self._deals)
        fits = f"{self.frequency * dense.fits:.3g} exposures a fact"
        found = f"{getattr(self._amount, name)}, which takes {slots} rows of {self.sequence_length} tokens"
        if slots <= self.window:
            found += f", more than there are where schedule {self.schedule.name!r} is densest"
        if len(self._spans) > 1:
            found += " (facts that hold for a part of the run need theirs there)"
        most = self.window if slots > self.window else int(slots * dense.fits)
        expected = f"at most {most} rows, in the part {self._amount.window} of a run of {self.rows}"
        hint = f"What fits is about {fits}; or train on more tokens."
        return KISError(Problem(f"infusion.{name}", found, expected, hint))


def _row_at(fraction: float, rows: int) -> int:
    """Return the first row at or after a fraction of the run, exactly: 0.7 of 10 rows is row 7."""
    return math.ceil(Fraction(str(fraction)) * rows)
