"""How often each item is shown: a frequency, a share or a number of tokens, made whole and exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.config.schema import InfusionConfig
from kis_plugin.hashing import IntArray, permutation

__all__ = ["Exposures", "RoundLengths", "exposures"]

RoundLengths = Callable[[int], npt.NDArray[np.integer[Any]]]
"""Tokens of each item, (items,), as round k tells it."""


@dataclass(frozen=True)
class Exposures:
    """Every item is shown ``rounds`` times, those in ``extra`` once more.

    Attributes:
        rounds: Whole exposures of every item in the run.
        extra: Places of items, sorted; empty where the frequency is whole.
    """

    rounds: int
    extra: IntArray

    def counts(self, items: int) -> IntArray:
        """Return exposures per item, (items,)."""
        counts = np.full(items, self.rounds, dtype=np.int64)
        counts[self.extra] += 1
        return counts


def exposures(
    amount: InfusionConfig, lengths: RoundLengths, items: int, cycle: int, tokens: int, seed: int
) -> Exposures:
    """Turn the configured amount into whole exposures.

    A fractional frequency gives every item ⌊F⌋ or ⌈F⌉ with the total rounded once; a share or an amount of tokens
    gives as many exposures as fit it, so that the total falls short by less than one item.

    Args:
        amount: One of frequency, share and tokens is set.
        lengths: Tokens of the items by round; the extra exposures are worded as the round that comes next.
        items: How many there are.
        cycle: Rounds after which wordings begin anew.
        tokens: Token budget D of the run.
        seed: Decides which items get the extra exposure.
    """
    if amount.frequency is not None:
        rounds = int(amount.frequency)
        more = round((amount.frequency - rounds) * items)
        return Exposures(rounds, np.sort(permutation(items, seed, 1)[:more]) if more else np.empty(0, dtype=np.int64))
    target = int(amount.tokens if amount.tokens is not None else (amount.share or 0.0) * tokens)
    ends = np.cumsum([int(lengths(turn).sum()) for turn in range(cycle)])
    if not items or not ends[-1]:
        return Exposures(0, np.empty(0, dtype=np.int64))
    cycles, rest = divmod(target, int(ends[-1]))
    turns = int(np.searchsorted(ends, rest, side="right"))
    rest -= int(ends[turns - 1]) if turns else 0
    order = permutation(items, seed, 1)
    extra = order[: int(np.searchsorted(np.cumsum(lengths(turns)[order]), rest, side="right"))]
    return Exposures(cycles * cycle + turns, np.sort(extra))
