"""The plan of one run: from a global row number to the texts that row carries, by arithmetic alone.

Items that share an amount and a part of the run form a cohort. Its exposures, round by round, are its slots
(``rounds.py``), and the row map lays the slots of all cohorts over the rows of the window (``row_map.py``). Nothing is
stored per exposure and nothing changes while the run goes on. So any worker of any rank, before or after a resume, gets
the same answer for the same row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.config.schema import AMOUNTS, InfusionConfig
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.infusion.layout import NoRoom, Window, laid_out
from kis_plugin.infusion.placement import InRows, Placement
from kis_plugin.infusion.protocols import Schedule
from kis_plugin.infusion.rounds.groups import grouped, row_at, split_by_validity
from kis_plugin.infusion.rounds.template_order import TemplateOrder
from kis_plugin.infusion.rows_ahead import Gathered, RowsAhead
from kis_plugin.infusion.throttle_file import ThrottleFile
from kis_plugin.run.placed_row import Placed
from kis_plugin.storage.npy_files import release
from kis_plugin.tokenized.texts import TokenizedTexts

__all__ = ["InfusionPlan"]

_RELEASE = 4096  # rows made after which mapped pages are let go of: they would add up to the whole file


class InfusionPlan:
    """Which texts every row of the run carries (``kis_plugin.run.infuser.RowSource``).

    Args:
        texts: What is infused.
        amount: How much, in which window, in which templates.
        schedule: How densely each part of the window is infused.
        rows: Rows of the whole run.
        sequence_length: Tokens a row, T.
        seed: Of everything random here.
        placement: Where in a row texts stand; at its start by default.
        validity: (items, 2) from which to which fraction of the run each item is valid; None: all of it.
        known: (items,) whether an item gets the amount for known facts; None: none does.
        cache: Where packings are kept; None for in memory.
        identity: What else a resume must find again, by name.
        tokens: Token budget D, of which a share is a part; rows times T by default.

    Attributes:
        frequency: Mean exposures per item, known ones left out.
        tokens_per_round: Tokens of one exposure of every item that is not known already, the mean over templates.
        infused_tokens: Tokens of all exposures, their EOS included.
        infused_rows: Rows that are infused, before any throttle.

    Raises:
        KISError: The amount needs more rows than there are.
    """

    def __init__(
        self,
        texts: TokenizedTexts,
        amount: InfusionConfig,
        schedule: Schedule,
        rows: int,
        sequence_length: int,
        seed: int,
        placement: Placement | None = None,
        validity: npt.NDArray[np.float64] | None = None,
        known: npt.NDArray[np.bool_] | None = None,
        cache: Path | None = None,
        identity: Mapping[str, Any] | None = None,
        tokens: int | None = None,
    ) -> None:
        self.texts, self.rows, self.sequence_length, self.seed = texts, rows, sequence_length, seed
        self.placement = placement or InRows()
        self._amount, self._identity = amount, dict(identity or {})
        # From what is infused to slots: amounts by item, items by amount, these by validity, rounds packed, and laid
        # over rows.
        first = row_at(amount.window[0], rows)
        self._window = Window(first, max(row_at(amount.window[1], rows) - first, 0), schedule)
        templates = TemplateOrder(texts, amount.template_order == "random", seed)
        groups = grouped(templates, amount, known, tokens or rows * sequence_length, seed)
        self.frequency = groups[0].exposures.mean(len(groups[0].members))
        self.tokens_per_round = groups[0].tokens_per_round(templates)
        self.infused_tokens = sum(group.tokens(templates) for group in groups)
        # These are kept, and pickled: nothing that says "all of ten million" by naming each.
        everything = len(groups) == 1
        self._groups = [
            (slice(None) if everything else group.members, len(group.members), group.exposures) for group in groups
        ]
        cohorts = [cohort for group in groups for cohort in split_by_validity(group, validity, amount.window, rows)]
        room = self.placement.room(sequence_length)
        try:
            self._layout = laid_out(cohorts, templates, self._window, room, self.placement.anywhere, seed, cache)
        except NoRoom as error:
            raise self._too_much(error, len(cohorts) > 1) from None
        self.infused_rows = self._layout.slots
        self._made = 0  # rows, by this process
        self._ahead = RowsAhead(self._layout, self._gathered, rows)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.texts)

    @property
    def counts(self) -> IntArray:
        """Exposures of each item in the whole run, as requested: (items,)."""
        counts = np.zeros(len(self), dtype=np.int64)
        for members, size, exposures in self._groups:
            counts[members] = exposures.counts(size)
        return counts

    @property
    def throttled_counts(self) -> IntArray:
        """Exposures of each item in the whole run, less what throttles take away: (items,)."""
        # Throttles take away whole exposures, which are known from the rounds: nothing is counted while training.
        counts: IntArray = self.counts - self._layout.removed(len(self))
        return counts

    @property
    def throttles(self) -> ThrottleFile | None:
        """Where less is shown than planned; None: nowhere, for ever."""
        return self._layout.throttles

    @throttles.setter
    def throttles(self, throttles: ThrottleFile) -> None:
        self._layout.throttles = throttles

    def infused(self, row: int) -> bool:
        """Return whether anything is infused into global row ``row``."""
        return self._layout.infused(row)

    def infused_places(self, rows: Sequence[int | None]) -> list[int]:
        """Return the places in a batch, of planned rows or None for base text, into which anything is infused.

        ``place`` is quick for those: what they and the batches to come carry is gathered together.
        """
        return self._ahead.places(rows)

    def texts_in(self, row: int) -> npt.NDArray[np.integer] | None:
        """Return the numbers of the texts that row ``row`` carries, in order, or None for base text."""
        return self._layout.texts_in(row)

    def drawing(self, stop: int) -> None:
        """Note that rows before ``stop`` may be in the making: later throttles leave them as planned."""
        if self.throttles is not None:
            self.throttles.drawing(stop)

    def place(self, row: int, base: npt.NDArray[np.integer]) -> Placed | None:
        """Return how row ``row`` is infused, or None for a row of base text."""
        gathered = self._ahead.take(row)
        if gathered is None:
            numbers = self.texts_in(row)
            if numbers is None:
                return None
            gathered = self._gathered(numbers)
        self._made += 1
        # Pages of a mapped file count as this process's memory until they are let go of.
        if self._made % _RELEASE == 0:
            release(self.texts.tokens, self.texts.offsets)
        tokens, lengths, targets = gathered
        return Placed(tokens, lengths, self.placement.pieces(row, lengths, base), targets)

    def tokens(self, numbers: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
        """Return the tokens of some texts, one after the other."""
        return self.texts.tokens[self._where(numbers)[0]].astype(np.int32, copy=False)

    def targets(self, numbers: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """Return which tokens of some texts are training targets, one text after the other."""
        where, _ = self._where(numbers)
        if self.texts.targets is None:
            return np.ones(len(where), dtype=np.bool_)
        return self.texts.targets[where].astype(np.bool_)

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what must be the same for a resumed run to keep its counts, by name. It enters the schedule hash."""
        schedule = self._window.schedule
        return {
            **self._identity,
            "items": self.texts.fingerprint,
            "exposures": [[size, exposures.rounds, len(exposures.extra)] for _, size, exposures in self._groups],
            "slots": self.infused_rows,
            "templates": self._amount.template_order,
            "placement": self.placement.name,
            "rows": self.rows,
            "block": self.sequence_length,
            "window": [self._window.first, self._window.rows],
            # Weights in place of options: two ways to write one shape are one schedule.
            "schedule": [schedule.name, *schedule.weights(64)],
            "seed": self.seed,
        }

    @cached_property
    def schedule_hash(self) -> str:
        """Hash of the fingerprint."""
        return hashlib.sha256(json.dumps(self.fingerprint(), sort_keys=True).encode()).hexdigest()[:16]

    def _gathered(self, numbers: npt.NDArray[np.integer]) -> Gathered:
        where, lengths = self._where(numbers)
        tokens = np.asarray(self.texts.tokens)[where].astype(np.int32, copy=False)
        targets = None if self.texts.targets is None else self.texts.targets[where].astype(np.bool_)
        return Gathered(tokens, lengths, targets)

    def _where(self, numbers: npt.NDArray[np.integer]) -> tuple[IntArray, tuple[int, ...]]:
        """Return the indices of the tokens of some texts, and the length of each text."""
        offsets = np.asarray(self.texts.offsets)  # a plain array: one mapped from a file takes longer to index
        starts = offsets[numbers]
        lengths = offsets[numbers + 1] - starts
        # Token j of text i, counted over all of them, is token starts[i] + (j - tokens of the texts before i).
        where = (starts - lengths.cumsum() + lengths).repeat(lengths)
        where += np.arange(len(where))
        return where, tuple(lengths.tolist())

    def _too_much(self, error: NoRoom, several_cohorts: bool) -> KISError:
        name = next(key for key in AMOUNTS if getattr(self._amount, key) is not None)
        window, slots = self._window, error.slots
        found = f"{getattr(self._amount, name)}, which takes {slots} rows of {self.sequence_length} tokens"
        if slots <= window.rows:
            found += f", more than there are where schedule {window.schedule.name!r} is densest"
        if several_cohorts:
            found += " (facts that hold for a part of the run need theirs there)"
        # With more slots than rows the window is the limit, otherwise its densest part is.
        most = window.rows if slots > window.rows else int(slots * error.fits)
        expected = f"at most {most} rows, in the part {self._amount.window} of a run of {self.rows}"
        fits = f"{self.frequency * error.fits:.3g} exposures a fact"
        return KISError(
            Problem(f"infusion.{name}", found, expected, f"What fits is about {fits}; or train on more tokens.")
        )
