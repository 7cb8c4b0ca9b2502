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
from collections.abc import Mapping, Sequence
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
        variants: What is infused, as one ``Items`` for each wording: item i is the same fact in all of them.
        amount: How much, and in which window.
        schedule: Lays slots over the window.
        rows: Rows of the whole run.
        block: Tokens a row.
        seed: Of everything random here.

    Raises:
        KISError: The amount needs more rows than the window has.
    """

    def __init__(
        self,
        variants: Sequence[Items],
        amount: InfusionConfig,
        schedule: Schedule,
        rows: int,
        block: int,
        seed: int,
    ) -> None:
        self.variants, self.schedule, self.block, self.seed = tuple(variants), schedule, block, seed
        self.rows = rows
        self.first = math.ceil(amount.window[0] * rows)
        self.window = max(int(amount.window[1] * rows) - self.first, 0)
        self._lengths = np.stack([items.lengths for items in variants])  # (variants, items)
        self.exposures: Exposures = exposures(amount, self._lengths, rows * block, seed)
        every = self.exposures.rounds
        wordings = len(self.variants)
        kinds = min(every, max(_PACKINGS // wordings, 1) * wordings)  # kind k holds items in variant k % wordings
        self._packings = [
            pack(permutation(len(self), seed, 2, kind), self._lengths[kind % wordings], block) for kind in range(kinds)
        ]
        cycles, rest = divmod(every, kinds) if kinds else (0, 0)
        sizes_of = [len(packing) for packing in self._packings]
        self.slots = cycles * sum(sizes_of) + sum(sizes_of[:rest])
        if self.slots > self.window:  # before anything is made for each round: there may be billions
            self._refuse(amount)
        self._rounds = [(turn % kinds, turn % wordings) for turn in range(every)]  # round -> packing, variant
        if len(self.exposures.extra):
            # The round of the extra exposures stands anywhere, so that they are not all late in the run.
            extra = (len(self._packings), every % wordings)
            self._packings.append(pack(self.exposures.extra, self._lengths[extra[1]], block))
            self._rounds.insert(mix(seed, 3) % (every + 1), extra)
        sizes = np.array([len(self._packings[kind]) for kind, _ in self._rounds], dtype=np.int64)
        self._starts: list[int] = [0, *np.cumsum(sizes).tolist()]
        self.slots = self._starts[-1]
        self._orders: OrderedDict[int, IntArray] = OrderedDict()
        if self.slots > self.window:
            self._refuse(amount)

    def __len__(self) -> int:
        """Return the number of items."""
        return int(self._lengths.shape[1])

    @property
    def facts(self) -> int:
        """Facts and passages that are infused."""
        return self.variants[0].facts

    @property
    def tokens_per_round(self) -> float:
        """Tokens it takes to show everything once, the mean over variants."""
        return float(self._lengths.sum(axis=1).mean())

    @property
    def infused_tokens(self) -> int:
        """Tokens of all exposures, their EOS included."""
        return self.exposures.infused_tokens(self._lengths)

    @property
    def frequency(self) -> float:
        """Mean exposures per item."""
        return float(self.exposures.counts(len(self)).mean()) if len(self) else 0.0

    def told_in(self, row: int) -> tuple[IntArray, int] | None:
        """Return the items that global row ``row`` carries, in order, and their variant, or None for base text."""
        if not 0 <= row - self.first < self.window:
            return None
        slot = self.schedule.slot_of(row - self.first, self.slots, self.window, self.seed)
        if slot is None:
            return None
        turn = bisect_right(self._starts, slot) - 1
        kind, variant = self._rounds[turn]
        packing = self._packings[kind]
        bundle = packing.bundle(int(self._order(turn, len(packing))[slot - self._starts[turn]]))
        return bundle[np.argsort(hashes(len(bundle), self.seed, 5, slot), kind="stable")], variant

    def head(self, row: int) -> npt.NDArray[np.int32] | None:
        """Return the tokens that row ``row`` begins with, at most ``block``, or None for a row of base text."""
        told = self.told_in(row)
        return None if told is None else self.tokens(*told)

    def tokens(self, items: IntArray, variant: int) -> npt.NDArray[np.int32]:
        """Return the tokens of ``items`` in one variant, one after the other."""
        texts = self.variants[variant]
        return np.concatenate([texts.tokens[texts.offsets[item] : texts.offsets[item + 1]] for item in items])

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what must be the same for a resumed run to keep its counts; its hash names the schedule."""
        return {
            "items": [items.fingerprint for items in self.variants],
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
