"""Where in a row its infused texts stand: before the base text, or between its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import hashes
from kis_plugin.run.placed_row import Piece

__all__ = ["InRows", "Inline", "Placement"]


class Placement(Protocol):
    """One way to put texts into rows."""

    name: str
    anywhere: bool
    """Whether texts may stand anywhere in a row, each by itself. Otherwise they stand together at its start."""

    def room(self, sequence_length: int) -> int:
        """Return the tokens that the texts of one row may have together."""

    def pieces(self, row: int, lengths: Sequence[int], base: npt.NDArray[np.integer]) -> tuple[Piece, ...]:
        """Return what the row is made of.

        Args:
            row: Its global number.
            lengths: Tokens of each text, in order.
            base: (T,) token ids of the base row.
        """


class InRows:
    """Packed texts, then the start of the base text."""

    name = "rows"
    anywhere = False

    def room(self, sequence_length: int) -> int:
        """Return a whole row."""
        return sequence_length

    def pieces(self, row: int, lengths: Sequence[int], base: npt.NDArray[np.integer]) -> tuple[Piece, ...]:
        """Return the texts, then base text up to the row's length."""
        infused = sum(lengths)
        return (Piece(True, 0, infused), Piece(False, 0, len(base) - infused))


@dataclass(frozen=True)
class Inline:
    """Each text after a sentence or a document of the base text; the row's end is cut by the same number of tokens.

    Attributes:
        ends: (V,) tokens that end a sentence.
        starts: (V,) tokens that start with white space.
        eos: The token between documents.
        seed: Of the choice among the places of a row.
    """

    ends: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.bool_]
    eos: int
    seed: int
    name = "inline"
    anywhere = True

    def room(self, sequence_length: int) -> int:
        """Return half a row: the other half is the text that they stand in."""
        return sequence_length // 2

    def pieces(self, row: int, lengths: Sequence[int], base: npt.NDArray[np.integer]) -> tuple[Piece, ...]:
        """Return base text and infused texts in turn.

        A place follows a token that ends a sentence and precedes one that starts with white space, or it follows EOS.
        Each text takes a place of its own while there are some; in a row without any, they stand at its start.
        """
        kept = len(base) - sum(lengths)  # base tokens that stay
        places = self._places(np.asarray(base), kept)
        # Places in the order of their hashes, taken again from the first where there are more texts than places.
        order = np.argsort(hashes(len(places), self.seed, 7, row), kind="stable")
        chosen = np.sort(np.resize(places[order], len(lengths))).tolist()
        pieces: list[Piece] = []
        done = infused = 0  # tokens of the base row and of the texts that are placed
        for place, length in zip(chosen, lengths, strict=True):
            if place > done:
                pieces.append(Piece(False, done, place))
                done = place
            pieces.append(Piece(True, infused, infused + length))
            infused += length
        return (*pieces, Piece(False, done, kept)) if kept > done else tuple(pieces)

    def _places(self, base: npt.NDArray[np.integer], kept: int) -> npt.NDArray[np.integer]:
        """Return the indices of base tokens that a text may stand before, none beyond ``kept``."""
        before, after = base[: kept - 1], base[1:kept]
        places = np.flatnonzero((self.ends[before] & (self.starts[after] | (after == self.eos))) | (before == self.eos))
        return places + 1 if len(places) else np.zeros(1, dtype=np.int64)
