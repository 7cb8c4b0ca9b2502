"""The rounds of items that share an amount: which texts each infused row carries.

A round shows every item once, in one of a few packings and in an order of its own. The bins of all rounds, one after
the other, are the *slots*; each will be infused into one row. Which row that is, the row map decides (``row_map.py``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from kis_plugin.hashing import IntArray, mix, mixed_in, permutation
from kis_plugin.infusion.rounds.exposures import Exposures
from kis_plugin.infusion.rounds.packing import Whole
from kis_plugin.infusion.rounds.round_packings import RoundPackings, RowLimits
from kis_plugin.infusion.rounds.template_order import TemplateOrder

__all__ = ["RoundSequence"]

_ORDERS_KEPT = 4  # rounds whose order is remembered: rows are made nearly in order


class RoundSequence:
    """The slots of some items, numbered round after round.

    Args:
        templates: Which template a round uses.
        members: The numbers of the items, sorted.
        exposures: How often each of them is shown; ``extra`` holds indices into ``members``.
        limits: What one row takes.
        key: Seeds; unique to this sequence.
        cache: Where packings are kept; None for in memory.

    Attributes:
        slots: Bins of all rounds together.
        rounds: How many rounds there are, that of the extra exposures included.
        extra_round: The number of that round; None if there are no extra exposures.
        key: As given.
    """

    def __init__(
        self,
        templates: TemplateOrder,
        members: Whole,
        exposures: Exposures,
        limits: RowLimits,
        key: tuple[int, ...],
        cache: Path | None = None,
    ) -> None:
        self.key = key
        self._in_order = limits.in_order
        self._packings = RoundPackings(templates, members, exposures, limits, key, cache)
        self._kinds = self._packings.kinds
        sizes = self._packings.sizes()
        # First slot of each kind within one cycle of all kinds; the last entry is the length of the cycle.
        self._starts: list[int] = [0, *np.cumsum(sizes[: self._kinds]).tolist()]
        # The round of the extra exposures stands anywhere among the others, so that they are not all late in the run.
        before = mix(*key, 3) % (exposures.rounds + 1)
        self._extra_first = self._slots_before(before)
        self._extra = sizes[self._kinds] if len(exposures.extra) else 0
        self.rounds = exposures.rounds + bool(self._extra)
        self.extra_round = before if self._extra else None
        self.slots = self._slots_before(exposures.rounds) + self._extra
        self._orders: OrderedDict[int, IntArray] = OrderedDict()
        self._state = mix(*key, 5)

    def texts_of_slot(self, slot: int) -> Whole:
        """Return the text numbers of one slot, in the order in which its row shows them."""
        turn, kind, place = self._place_of(slot)
        packing = self._packings[kind]
        if self._in_order:
            return packing.bin(place)
        texts = packing.bin(int(self._order(turn, len(packing))[place]) if len(packing) > 1 else place)
        # Best fit puts long texts first. A seeded rotation varies how far into its row a text stands.
        first = mixed_in(self._state, slot) % len(texts)
        return np.concatenate((texts[first:], texts[:first])) if first else texts

    def round_of(self, slot: int) -> int:
        """Return which round a slot belongs to, the extra one counted where it stands."""
        turn, kind, _ = self._place_of(slot)
        if self.extra_round is None:
            return turn
        # Whole rounds from the extra one on are counted one later than among whole rounds alone.
        return self.extra_round if kind == self._kinds else turn + (turn >= self.extra_round)

    def first_slot(self, number: int) -> int:
        """Return the first slot of round ``number``."""
        if self.extra_round is None or number <= self.extra_round:
            return self._slots_before(number)
        return self._slots_before(number - 1) + self._extra

    def texts_of_round(self, number: int) -> Whole:
        """Return the text numbers of a whole round, in no order of their rows."""
        if number == self.extra_round:
            return self._packings[self._kinds].texts
        turn = number - (self.extra_round is not None and number > self.extra_round)
        return self._packings[turn % self._kinds].texts

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the remembered orders: a loader's workers make their own."""
        return self.__dict__ | {"_orders": OrderedDict()}

    def _slots_before(self, turn: int) -> int:
        """Return the slots of the whole rounds before ``turn``, the extra one left out."""
        if not self._kinds:
            return 0
        cycles, rest = divmod(turn, self._kinds)
        return cycles * self._starts[-1] + self._starts[rest]

    def _place_of(self, slot: int) -> tuple[int, int, int]:
        """Return a slot's whole round (-1 for the extra one), the kind of its packing, and its place in the round."""
        if slot >= self._extra_first:
            if slot < self._extra_first + self._extra:
                return -1, self._kinds, slot - self._extra_first
            slot -= self._extra  # from here on as if the extra round were not there
        cycles, rest = divmod(slot, self._starts[-1])
        kind = bisect_right(self._starts, rest) - 1
        return cycles * self._kinds + kind, kind, rest - self._starts[kind]

    def _order(self, turn: int, bins: int) -> IntArray:
        """Return the order of the bins in one round: (bins,)."""
        order = self._orders.get(turn)
        if order is None:
            order = self._orders[turn] = permutation(bins, *self.key, 4, turn)
            if len(self._orders) > _ORDERS_KEPT:
                self._orders.popitem(last=False)
        return order
