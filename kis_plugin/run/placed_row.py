"""An infused row, and the protocol of what infuses rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Infuser", "Piece", "Placed"]


class Piece(NamedTuple):
    """A stretch of an infused row: tokens ``first`` to ``stop`` (not included) of what is told, or of the base row."""

    told: bool
    first: int
    stop: int


@dataclass(frozen=True)
class Placed:
    """One infused row of T tokens.

    Attributes:
        tokens: (told,) ids of the infused tokens.
        lengths: Tokens of each text among them.
        pieces: What the row is made of, from its start; T tokens together.
        targets: (told,) False for infused tokens that are no training targets; None if all are.
    """

    tokens: npt.NDArray[np.int32]
    lengths: tuple[int, ...]
    pieces: tuple[Piece, ...]
    targets: npt.NDArray[np.bool_] | None = None

    def joined(self, told: npt.NDArray[Any], base: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a column of the row, (T,), from its values over what is told, (told,), and over the base row, (T,)."""
        return np.concatenate([(told if piece.told else base)[piece.first : piece.stop] for piece in self.pieces])

    def ahead(self, base: npt.NDArray[Any], eos: int) -> npt.NDArray[Any]:
        """Return the infused row of inputs and targets in one, (T + 1,), from the base's; placed on its last T tokens.

        The first token is no target. A text at the row's start has EOS before it, so that all of it is one; base text
        that stands there keeps its own first token.
        """
        begins = self.pieces[0].told
        row = self.joined(self.tokens, base[:-1] if begins else base[1:])
        return np.concatenate([[eos if begins else base[0]], row])


class Infuser(Protocol):
    """Rewrites the rows of the data. Must pickle: it goes to the loader's worker processes."""

    def infused(self, row: int) -> bool:
        """Return whether anything is infused into global row ``row`` of the run."""

    def place(self, row: int, base: npt.NDArray[np.integer]) -> Placed | None:
        """Return how global row ``row`` of the run is infused, or None for a row of base text.

        Args:
            row: Counted over all ranks and epochs, in the order of consumption.
            base: (T,) token ids of the base row that is to be trained on there.
        """

    def drawing(self, stop: int) -> None:
        """Note that rows of the run before ``stop`` are in the making, where ``kis_rows_drawn`` tells of them too late.

        Called in a loader's worker before it makes a batch. Whoever changes rows later leaves these as they are.
        """
