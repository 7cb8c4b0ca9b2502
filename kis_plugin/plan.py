"""The plan of one run: from a global row index to the items that row carries, by arithmetic alone.

The exposures are dealt in rounds. A round shows every item once: one of a few packings, its bundles in an order of
their own. Bundles in the order of rounds are the slots; the schedule lays slots over the rows of the window. Nothing
is stored per exposure and nothing changes while the run goes on, so any worker of any rank, before or after a resume,
gets the same answer for the same row.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.amount import Exposures, exposures
from kis_plugin.config import InfusionConfig
from kis_plugin.contracts import Schedule
from kis_plugin.errors import KISError, Problem
from kis_plugin.items import Items
from kis_plugin.packing import pack
from kis_plugin.seeded import IntArray, hashes, mix, permutation

__all__ = ["InfusionPlan"]

_PACKINGS = 8  # so that an item does not always meet the same others in its row
_ORDERS_KEPT = 4  # rounds whose order is remembered; rows are asked for nearly in order


class InfusionPlan:
    """Which items every row of the run carries.

    Args:
        items: What is infused.
        amount: How much, and in which window.
        schedule: Lays slots over the window.
        rows: Rows of the whole run.
        block: Tokens a row.
        seed: Of everything random here.

    Raises:
        KISError: The amount needs more rows than the window has.
    """

    def __init__(
        self, items: Items, amount: InfusionConfig, schedule: Schedule, rows: int, block: int, seed: int
    ) -> None:
        self.items, self.schedule, self.block, self.seed = items, schedule, block, seed
        self.rows = rows
        self.first = math.ceil(amount.window[0] * rows)
        self.window = max(int(amount.window[1] * rows) - self.first, 0)
        lengths = items.lengths
        self.exposures: Exposures = exposures(amount, lengths, rows * block, seed)
        kinds = min(self.exposures.rounds, _PACKINGS)
        self._packings = [pack(permutation(len(items), seed, 2, kind), lengths, block) for kind in range(kinds)]
        self._rounds = [kind % kinds for kind in range(self.exposures.rounds)]  # round -> packing
        if len(self.exposures.extra):
            # The round of the extra exposures stands anywhere, so that they are not all late in the run.
            self._packings.append(pack(self.exposures.extra, lengths, block))
            self._rounds.insert(mix(seed, 3) % (len(self._rounds) + 1), len(self._packings) - 1)
        sizes = np.array([len(self._packings[kind]) for kind in self._rounds], dtype=np.int64)
        self._starts: list[int] = [0, *np.cumsum(sizes).tolist()]
        self.slots = self._starts[-1]
        self._orders: OrderedDict[int, IntArray] = OrderedDict()
        if self.slots > self.window:
            self._refuse(amount)

    @property
    def infused_tokens(self) -> int:
        """Tokens of all exposures, their EOS included."""
        return self.exposures.infused_tokens(self.items.lengths)

    @property
    def frequency(self) -> float:
        """Mean exposures per item."""
        return float(self.exposures.counts(len(self.items)).mean()) if len(self.items) else 0.0

    def items_of(self, row: int) -> IntArray | None:
        """Return the items that global row ``row`` carries, in order, or None for a row of base text."""
        if not 0 <= row - self.first < self.window:
            return None
        slot = self.schedule.slot_of(row - self.first, self.slots, self.window, self.seed)
        if slot is None:
            return None
        turn = bisect_right(self._starts, slot) - 1
        packing = self._packings[self._rounds[turn]]
        bundle = packing.bundle(int(self._order(turn, len(packing))[slot - self._starts[turn]]))
        return bundle[np.argsort(hashes(len(bundle), self.seed, 5, slot), kind="stable")]

    def head(self, row: int) -> npt.NDArray[np.int32] | None:
        """Return the tokens that row ``row`` begins with, at most ``block``, or None for a row of base text."""
        items = self.items_of(row)
        return None if items is None else self.tokens(items)

    def tokens(self, items: IntArray) -> npt.NDArray[np.int32]:
        """Return the tokens of ``items`` one after the other."""
        offsets = self.items.offsets
        return np.concatenate([self.items.tokens[offsets[item] : offsets[item + 1]] for item in items])

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what must be the same for a resumed run to keep its counts; its hash names the schedule."""
        return {
            "items": self.items.fingerprint,
            "exposures": [self.exposures.rounds, len(self.exposures.extra)],
            "rows": self.rows,
            "block": self.block,
            "window": [self.first, self.window],
            "schedule": self.schedule.name,
            "seed": self.seed,
        }

    @property
    def schedule_hash(self) -> str:
        """Hash of the fingerprint."""
        return hashlib.sha256(json.dumps(self.fingerprint(), sort_keys=True).encode()).hexdigest()[:16]

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the remembered orders: a loader's workers make their own."""
        return self.__dict__ | {"_orders": OrderedDict()}

    def _order(self, turn: int, bundles: int) -> IntArray:
        """Return the order of the bundles in one round."""
        order = self._orders.get(turn)
        if order is None:
            order = self._orders[turn] = permutation(bundles, self.seed, 4, turn)
            if len(self._orders) > _ORDERS_KEPT:
                self._orders.popitem(last=False)
        return order

    def _refuse(self, amount: InfusionConfig) -> None:
        per_round = max(len(packing) for packing in self._packings)
        name = next(key for key in ("frequency", "share", "tokens") if getattr(amount, key) is not None)
        raise KISError(
            Problem(
                f"infusion.{name}",
                f"{getattr(amount, name)}, which takes {self.slots} rows of {self.block} tokens",
                f"at most {self.window} rows, the part {amount.window} of a run of {self.rows}",
                f"The greatest frequency that fits is about {self.window // per_round}; or train on more tokens.",
            )
        )
