"""The exposures of items that share an amount, dealt in rounds: which texts each infused row carries.

A round shows every item once, in one of a few packings and in an order of its own. The bundles of all rounds, one
after the other, are the slots; where they lie in the run is not decided here.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray, hashes, mix, mixed_in, permutation
from kis_plugin.infusion.exposures import Exposures
from kis_plugin.infusion.packing import Packing, Whole, best_fit, next_fit, reshuffled
from kis_plugin.tokenized.texts import TokenizedTexts

if TYPE_CHECKING:
    from kis_plugin.storage.artifact_cache import Writer

__all__ = ["RoundSequence", "Wordings"]

Lengths = npt.NDArray[np.int32]

_CHUNK = 1 << 20
_PACKINGS = 8  # so that an item does not always meet the same others in its row
_RANDOM_TEXTS = 1 << 22  # texts in all packings of random wordings, which are packed one by one
_RANDOM_MOST = 64
_ORDERS_KEPT = 4  # rounds whose order is remembered; rows are asked for nearly in order


@dataclass(frozen=True)
class Wordings:
    """Which wording each round tells an item in.

    Attributes:
        items: What is told.
        random: Drawn anew for each round and item; else all wordings take turns.
        seed: Of the draws.
    """

    items: TokenizedTexts
    random: bool
    seed: int

    @property
    def dtype(self) -> type[np.integer[Any]]:
        """Return what text numbers are kept in: half the memory where they allow it."""
        return np.int32 if self.items.wordings * len(self.items) < 2**31 else np.int64

    @property
    def cycle(self) -> int:
        """Rounds after which the wordings begin anew."""
        if not self.random or self.items.wordings == 1:
            return self.items.wordings
        return max(min(_RANDOM_TEXTS // max(len(self.items), 1), _RANDOM_MOST), _PACKINGS)

    def texts(self, turn: int, members: Whole) -> Whole:
        """Return the text number of each of some items in round ``turn``: (members,)."""
        texts: Whole
        if not self.random:
            texts = members + self.dtype(turn % self.cycle * len(self.items)) if turn % self.cycle else members
            return texts
        drawn = hashes(len(self.items), self.seed, 6, turn % self.cycle)[members]
        drawn %= self.items.own[members].astype(np.uint64)
        texts = members + drawn.astype(self.dtype) * self.dtype(len(self.items))
        return texts

    def lengths(self, turn: int, members: Whole) -> Lengths:
        """Return the tokens of each of some items in round ``turn``: (members,)."""
        return self.lengths_of(self.texts(turn, members))

    def lengths_of(self, texts: Whole) -> Lengths:
        """Return the tokens of some texts, (texts,)."""
        offsets = self.items.offsets
        lengths = np.empty(len(texts), dtype=np.int32)
        for start in range(0, len(texts), _CHUNK):  # what is computed on the way stays small
            part = texts[start : start + _CHUNK]
            lengths[start : start + _CHUNK] = offsets[part + 1] - offsets[part]
        return lengths


class RoundSequence:
    """The slots of some items.

    Rounds are numbered in the order of their slots.

    Args:
        wordings: Of all items.
        members: The numbers of the items dealt here, sorted.
        exposures: How often each of them is shown; ``extra`` holds places in ``members``.
        room: Tokens that one slot takes at most.
        most: Texts that one slot takes at most; None for as many as fit.
        in_order: Every round tells the items in the same order.
        key: Seed, and the number of this deal.
        cache: Where packings are kept; None for in memory.

    Attributes:
        rounds: How many there are, that of the extra exposures among them.
        extra_round: Its number; None if there are no extra exposures.
    """

    def __init__(
        self,
        wordings: Wordings,
        members: Whole,
        exposures: Exposures,
        room: int,
        most: int | None,
        in_order: bool,
        key: tuple[int, ...],
        cache: Path | None = None,
    ) -> None:
        self._wordings, self._exposures = wordings, exposures
        self._room, self._most, self._in_order, self._key = room, most, in_order, key
        cycle = wordings.cycle
        fixed = wordings.random or in_order  # nothing to be had from more packings than wordings
        self._kinds = min(exposures.rounds, cycle if fixed else max(_PACKINGS // cycle, 1) * cycle)
        self._packings = self._packed(members, cache)
        sizes = [len(packing) for packing in self._packings]
        self._starts: list[int] = [0, *np.cumsum(sizes[: self._kinds]).tolist()]  # of the kinds, within all of them
        # The round of the extra exposures stands anywhere, so that they are not all late in the run.
        before = mix(*key, 3) % (exposures.rounds + 1)
        self._extra_first = self._slots_before(before)
        self._extra = sizes[self._kinds] if len(exposures.extra) else 0
        self.key = key
        self.rounds = exposures.rounds + bool(self._extra)
        self.extra_round = before if self._extra else None
        self.slots = self._slots_before(exposures.rounds) + self._extra
        self._orders: OrderedDict[int, IntArray] = OrderedDict()
        self._state = mix(*key, 5)

    def bundle(self, slot: int) -> Whole:
        """Return the text numbers of one slot, in the order in which a row tells them."""
        turn, kind, place = self._place_of(slot)
        packing = self._packings[kind]
        if self._in_order:
            return packing.bundle(place)
        bundle = packing.bundle(int(self._order(turn, len(packing))[place]) if len(packing) > 1 else place)
        first = mixed_in(self._state, slot) % len(bundle)  # so that a text is not always as far into its row
        return np.concatenate((bundle[first:], bundle[:first])) if first else bundle

    def round_of(self, slot: int) -> int:
        """Return which of the deal's rounds a slot belongs to, the extra one counted where it stands."""
        turn, kind, _ = self._place_of(slot)
        if self.extra_round is None:
            return turn
        return self.extra_round if kind == self._kinds else turn + (turn >= self.extra_round)

    def first_of(self, number: int) -> int:
        """Return the first slot of a round."""
        if self.extra_round is None or number <= self.extra_round:
            return self._slots_before(number)
        return self._slots_before(number - 1) + self._extra

    def texts_in(self, number: int) -> Whole:
        """Return the text numbers of a whole round."""
        if number == self.extra_round:
            return self._packings[self._kinds].texts
        turn = number - (self.extra_round is not None and number > self.extra_round)
        return self._packings[turn % self._kinds].texts

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the remembered orders: a loader's workers make their own."""
        return self.__dict__ | {"_orders": OrderedDict()}

    def _slots_before(self, turn: int) -> int:
        """Return the slots of the rounds before ``turn``, the extra one left out."""
        if not self._kinds:
            return 0
        cycles, rest = divmod(turn, self._kinds)
        return cycles * self._starts[-1] + self._starts[rest]

    def _place_of(self, slot: int) -> tuple[int, int, int]:
        """Return a slot's round, the kind of its packing, and its place in the round's order."""
        if slot >= self._extra_first:
            if slot < self._extra_first + self._extra:
                return -1, self._kinds, slot - self._extra_first
            slot -= self._extra
        cycles, rest = divmod(slot, self._starts[-1])
        kind = bisect_right(self._starts, rest) - 1
        return cycles * self._kinds + kind, kind, rest - self._starts[kind]

    def _order(self, turn: int, bundles: int) -> IntArray:
        """Return the order of the bundles in one round."""
        order = self._orders.get(turn)
        if order is None:
            order = self._orders[turn] = permutation(bundles, *self._key, 4, turn)
            if len(self._orders) > _ORDERS_KEPT:
                self._orders.popitem(last=False)
        return order

    def _packed(self, members: Whole, cache: Path | None) -> list[Packing]:
        count = self._kinds + bool(len(self._exposures.extra))
        if cache is None:
            packings: list[Packing] = []
            for kind in range(count):
                packings.append(self._pack(kind, members, packings))
            return packings

        from kis_plugin.storage.artifact_cache import prepared

        def build(writer: Writer) -> None:
            made: list[Packing] = []
            for kind in range(count):
                packing = self._pack(kind, members, made)
                made.append(packing if kind < self._wordings.cycle else Packing(packing.texts[:0], packing.offsets[:1]))
                writer.put(f"texts-{kind}", packing.texts)
                writer.put(f"offsets-{kind}", packing.offsets)

        arrays = prepared(cache, "packings", self._cache_key(members, count), build).arrays
        return [Packing(arrays[f"texts-{kind}"], arrays[f"offsets-{kind}"]) for kind in range(count)]

    def _cache_key(self, members: Whole, count: int) -> Mapping[str, Any]:
        digest = hashlib.sha256(np.ascontiguousarray(members).data)
        digest.update(np.ascontiguousarray(self._exposures.extra).data)
        # The extra exposures are worded as the round that would come next.
        worded = self._exposures.rounds % self._wordings.cycle if len(self._exposures.extra) else -1
        shape = [self._room, self._most, self._in_order, self._wordings.random, self._wordings.seed, worded, *self._key]
        return {
            "items": self._wordings.items.fingerprint,
            "members": digest.hexdigest(),
            "shape": shape,
            "kinds": count,
        }

    def _pack(self, kind: int, members: Whole, made: list[Packing]) -> Packing:
        """Pack one kind of round; the last is the round of the extra exposures."""
        extra = kind == self._kinds
        turn = self._exposures.rounds if extra else kind
        if extra:
            members = members[self._exposures.extra]
        cycle = self._wordings.cycle
        if not extra and kind >= cycle:
            like = made[kind % cycle]
            return reshuffled(like, self._wordings.lengths_of(like.texts), *self._key, 2, kind)
        texts = self._wordings.texts(turn, members)
        texts = texts[permutation(len(texts), *self._key, 2, 0 if self._in_order and not extra else kind)]
        lengths = self._wordings.lengths_of(texts)
        if self._in_order or self._most is not None:
            return next_fit(texts, lengths, self._room, self._most)
        return best_fit(texts, lengths, self._room)
