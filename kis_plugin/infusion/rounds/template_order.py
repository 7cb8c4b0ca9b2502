"""Which template each round uses for each item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import hashes
from kis_plugin.infusion.rounds.packing import Whole
from kis_plugin.tokenized.texts import TokenizedTexts

__all__ = ["LEAST_RANDOM", "TemplateOrder"]

Lengths = npt.NDArray[np.int32]

LEAST_RANDOM = 8
"""Different rounds of randomly drawn templates, at least."""

_CHUNK = 1 << 20
_RANDOM_TEXTS = 1 << 22  # texts in all the different random rounds together: each of them is packed and kept
_MOST_RANDOM = 64


@dataclass(frozen=True)
class TemplateOrder:
    """Which template each round uses for each item.

    Text ``t * items + i`` is item i in its template t, so a round is an array of text numbers, one per item.

    Attributes:
        source: All texts.
        random: Whether templates are drawn anew for each round and item; otherwise they take turns.
        seed: Of the draws.
    """

    source: TokenizedTexts
    random: bool
    seed: int

    @property
    def dtype(self) -> type[np.integer[Any]]:
        """The type that text numbers are kept in: half the memory where 32 bits hold them."""
        return np.int32 if self.source.templates * len(self.source) < 2**31 else np.int64

    @property
    def cycle(self) -> int:
        """Rounds after which the templates begin anew.

        Templates that take turns repeat after as many rounds as there are templates. Random draws never need to
        repeat; they do so after as many rounds as memory allows packings for.
        """
        if not self.random or self.source.templates == 1:
            return self.source.templates
        return max(min(_RANDOM_TEXTS // max(len(self.source), 1), _MOST_RANDOM), LEAST_RANDOM)

    def texts(self, turn: int, members: Whole) -> Whole:
        """Return the text number of each of some items in round ``turn``: (members,)."""
        texts: Whole
        turn %= self.cycle
        if not self.random:
            # In round t every item uses its template t: its text number is t * items further on.
            texts = members + self.dtype(turn * len(self.source)) if turn else members
            return texts
        # A hash of (seed, round, item) modulo the item's own number of templates: the same draw in every process.
        drawn = hashes(len(self.source), self.seed, 6, turn)[members]
        drawn %= self.source.own_templates[members].astype(np.uint64)
        texts = members + drawn.astype(self.dtype) * self.dtype(len(self.source))
        return texts

    def lengths(self, turn: int, members: Whole) -> Lengths:
        """Return the tokens of each of some items in round ``turn``: (members,)."""
        return self.lengths_of(self.texts(turn, members))

    def lengths_of(self, texts: Whole) -> Lengths:
        """Return the tokens of some texts, (texts,)."""
        offsets = self.source.offsets
        lengths = np.empty(len(texts), dtype=np.int32)
        for start in range(0, len(texts), _CHUNK):  # in chunks: intermediate arrays stay small
            part = texts[start : start + _CHUNK]
            lengths[start : start + _CHUNK] = offsets[part + 1] - offsets[part]
        return lengths
