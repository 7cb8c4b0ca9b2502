"""An infused row: its tokens, and which of its stretches are infused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Piece", "Placed"]


class Piece(NamedTuple):
    """A stretch of an infused row: tokens ``first`` to ``stop`` (not included) of the infused texts or the base row."""

    infused: bool
    first: int
    stop: int


@dataclass(frozen=True)
class Placed:
    """One infused row of T tokens.

    Attributes:
        tokens: (n,) ids of the infused tokens, text after text.
        lengths: Tokens of each text among them.
        pieces: What the row is made of, from its start; T tokens together.
        targets: (n,) False for infused tokens that are no training targets; None if all are.
    """

    tokens: npt.NDArray[np.int32]
    lengths: tuple[int, ...]
    pieces: tuple[Piece, ...]
    targets: npt.NDArray[np.bool_] | None = None

    def joined(
        self, infused: npt.NDArray[Any], base: npt.NDArray[Any], dtype: npt.DTypeLike | None = None
    ) -> npt.NDArray[Any]:
        """Return a column of the row, (T,), from its values over the infused tokens, (n,), and the base row, (T,).

        Args:
            infused: (n,) the values over infused tokens.
            base: (T,) those of the base row.
            dtype: Of the column; by default what numpy makes of both.
        """
        pieces = [(infused if in_texts else base)[first:stop] for in_texts, first, stop in self.pieces]
        return np.concatenate(pieces, dtype=dtype, casting="unsafe" if dtype is not None else "same_kind")

    def inputs_and_targets(self, base: npt.NDArray[Any], eos: int) -> npt.NDArray[Any]:
        """Return the infused row as one array of inputs and targets, (T + 1,), for a base row of the same form.

        The host trains on ``row[:-1]`` as inputs and ``row[1:]`` as targets, so its first token is never a target. The
        texts are therefore placed on the last T tokens. Where a text starts the row, EOS stands before it and every
        token of the text is a target; where base text starts it, the base row's own first token stays.
        """
        infused_first = self.pieces[0].infused
        row = self.joined(self.tokens, base[:-1] if infused_first else base[1:])
        return np.concatenate([[eos if infused_first else base[0]], row])
