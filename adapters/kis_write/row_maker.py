"""The rows of a run as token arrays: base text in its order, and what the plan puts into it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray, permutation
from kis_plugin.infusion.plan import InfusionPlan
from kis_write.base_tokens import BaseTokens

__all__ = ["RowMaker"]

_STREAM = 0x77726974  # separates this permutation from others of the same seed


@dataclass(frozen=True)
class RowMaker:
    """Makes any rows of the run.

    Attributes:
        plan: Which texts each row carries; T tokens a row.
        base: The base corpus.
        eos: Stands before a text at the start of a row with targets.
        seed: Of the order of base rows.
        shuffle: Read base rows in another random order each epoch, not as the corpus has them.
        with_target: Rows have T + 1 tokens, the inputs and the last target, as hosts read them that cut without
            overlap.
    """

    plan: InfusionPlan
    base: BaseTokens
    eos: int
    seed: int
    shuffle: bool
    with_target: bool

    @property
    def row_tokens(self) -> int:
        """Tokens of a row as it is written."""
        return self.plan.sequence_length + self.with_target

    @property
    def base_rows(self) -> int:
        """Rows in one pass over the base corpus."""
        return len(self.base) // self.row_tokens

    def rows(self, numbers: IntArray) -> npt.NDArray[np.int32]:
        """Return rows of the run by their numbers: (n, row_tokens)."""
        width = self.row_tokens
        first = self._base_row(numbers) * width
        made = np.asarray(self.base[first[:, None] + np.arange(width)], dtype=np.int32)  # (n, row_tokens)
        for place, number in enumerate(numbers.tolist()):
            # Of rows with a target, placement looks at the part that is trained on.
            placed = self.plan.place(number, made[place][self.with_target :])
            if placed is None:
                continue
            if self.with_target:
                made[place] = placed.inputs_and_targets(made[place], self.eos)
            else:
                made[place] = placed.joined(placed.tokens, made[place])
        return made

    def _base_row(self, numbers: IntArray) -> IntArray:
        """Return which row of the corpus stands behind each row of the run: (n,)."""
        epoch, row = np.divmod(numbers, self.base_rows)
        if not self.shuffle:
            return row
        found = np.empty_like(row)
        for one in np.unique(epoch).tolist():
            there = epoch == one
            found[there] = _order(self.base_rows, self.seed, one)[row[there]]
        return found


@lru_cache(maxsize=2)
def _order(rows: int, seed: int, epoch: int) -> IntArray:
    return permutation(rows, _STREAM, seed, epoch)
