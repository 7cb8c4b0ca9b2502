"""The packings of rounds: how the texts of one round are put into rows, made once and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kis_plugin.hashing import permutation
from kis_plugin.infusion.rounds.exposures import Exposures
from kis_plugin.infusion.rounds.packing import Packing, Whole, best_fit, next_fit, reshuffled
from kis_plugin.infusion.rounds.template_order import LEAST_RANDOM, TemplateOrder

if TYPE_CHECKING:
    from kis_plugin.storage.artifact_cache import Writer

__all__ = ["RoundPackings", "RowLimits"]

_PACKINGS = LEAST_RANDOM  # different packings, so that an item does not always share its row with the same others


@dataclass(frozen=True)
class RowLimits:
    """What one row takes.

    Attributes:
        room: Infused tokens, at most.
        most: Texts, at most; None for as many as fit.
        in_order: Whether every round shows the items in the same order.
    """

    room: int
    most: int | None
    in_order: bool


class RoundPackings:
    """The different packings of some items, in the order of their kind.

    A run may have thousands of rounds, and packing is what costs time. So rounds share a few *kinds* of packing: round
    k has the packing of kind ``k % kinds``. The last packing, number ``kinds``, is that of the extra exposures.

    Args:
        templates: Which template a round uses.
        members: The numbers of the items, sorted.
        exposures: How often each of them is shown.
        limits: What a row takes.
        key: Seeds; unique to these items.
        cache: Where packings are kept; None for in memory.

    Attributes:
        kinds: Different packings of whole rounds.
    """

    def __init__(
        self,
        templates: TemplateOrder,
        members: Whole,
        exposures: Exposures,
        limits: RowLimits,
        key: tuple[int, ...],
        cache: Path | None,
    ) -> None:
        self._templates, self._exposures, self._limits, self._key = templates, exposures, limits, key
        cycle = templates.cycle
        # Texts repeat after ``cycle`` rounds, so kinds are a multiple of it. In a fixed order, or where the draws
        # already differ, more packings than that would gain nothing.
        fixed = templates.random or limits.in_order
        self.kinds = min(exposures.rounds, cycle if fixed else max(_PACKINGS // cycle, 1) * cycle)
        self._packings = self._all(members, cache)

    def __getitem__(self, kind: int) -> Packing:
        """Return the packing of one kind."""
        return self._packings[kind]

    def sizes(self) -> list[int]:
        """Return the bins of each kind, the extra round's last if there is one."""
        return [len(packing) for packing in self._packings]

    def _all(self, members: Whole, cache: Path | None) -> list[Packing]:
        count = self.kinds + bool(len(self._exposures.extra))
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
                # Only the first cycle is looked at again, by ``reshuffled``; the rest need not stay in memory.
                keep = kind < self._templates.cycle
                made.append(packing if keep else Packing(packing.texts[:0], packing.offsets[:1]))
                writer.put(f"texts-{kind}", packing.texts)
                writer.put(f"offsets-{kind}", packing.offsets)

        arrays = prepared(cache, "packings", self._cache_key(members, count), build).arrays
        return [Packing(arrays[f"texts-{kind}"], arrays[f"offsets-{kind}"]) for kind in range(count)]

    def _pack(self, kind: int, members: Whole, made: list[Packing]) -> Packing:
        """Pack one kind of round; the last one is the round of the extra exposures."""
        templates, limits = self._templates, self._limits
        if kind == self.kinds:
            # The extra exposures use the templates of the round that would come next.
            return self._packed(self._exposures.rounds, members[self._exposures.extra], kind)
        if kind >= templates.cycle:
            like = made[kind % templates.cycle]
            return reshuffled(like, templates.lengths_of(like.texts), *self._key, 2, kind)
        return self._packed(kind, members, 0 if limits.in_order else kind)

    def _packed(self, turn: int, members: Whole, order: int) -> Packing:
        """Pack the texts of round ``turn`` after a seeded shuffle; equal ``order`` gives the same shuffle."""
        texts = self._templates.texts(turn, members)
        # Best fit depends on the order in which texts come; without the shuffle items would meet the same others.
        texts = texts[permutation(len(texts), *self._key, 2, order)]
        lengths = self._templates.lengths_of(texts)
        if self._limits.in_order or self._limits.most is not None:
            return next_fit(texts, lengths, self._limits.room, self._limits.most)
        return best_fit(texts, lengths, self._limits.room)

    def _cache_key(self, members: Whole, count: int) -> Mapping[str, Any]:
        """Return all that the packings depend on, as JSON values."""
        digest = hashlib.sha256(np.ascontiguousarray(members).data)
        digest.update(np.ascontiguousarray(self._exposures.extra).data)
        templates, limits = self._templates, self._limits
        next_turn = self._exposures.rounds % templates.cycle if len(self._exposures.extra) else -1
        shape = [limits.room, limits.most, limits.in_order, templates.random, templates.seed, next_turn, *self._key]
        return {
            "items": templates.source.fingerprint,
            "members": digest.hexdigest(),
            "shape": shape,
            "kinds": count,
        }
