"""How often each item is shown: a frequency, a share or a number of tokens, made whole and exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.config.schema import InfusionConfig
from kis_plugin.hashing import IntArray, permutation

__all__ = ["Exposures", "RoundLengths", "whole_exposures"]

RoundLengths = Callable[[int], npt.NDArray[np.integer[Any]]]
"""Tokens of each item, (items,), in the template that round k uses for it."""


@dataclass(frozen=True)
class Exposures:
    """Every item is shown ``rounds`` times, those in ``extra`` once more.

    Attributes:
        rounds: Whole exposures of every item in the run.
        extra: Indices of items, sorted; empty where the frequency is whole.
    """

    rounds: int
    extra: IntArray

    def counts(self, items: int) -> IntArray:
        """Return exposures per item, (items,)."""
        counts = np.full(items, self.rounds, dtype=np.int64)
        counts[self.extra] += 1
        return counts

    def mean(self, items: int) -> float:
        """Return the mean exposures per item; 0 if there are no items."""
        return self.rounds + len(self.extra) / items if items else 0.0


def whole_exposures(
    amount: InfusionConfig, lengths: RoundLengths, items: int, cycle: int, tokens: int, seed: int
) -> Exposures:
    """Turn the configured amount into whole exposures.

    A fractional frequency F gives every item ⌊F⌋ or ⌈F⌉, with the total rounded once. A share or an amount of tokens
    gives as many exposures as fit it, so that the total falls short by less than one item.

    Args:
        amount: One of frequency, share and tokens is set.
        lengths: Tokens of the items by round; the extra exposures use the templates of the round that comes next.
        items: How many there are.
        cycle: Rounds after which templates begin anew.
        tokens: Token budget D of the run.
        seed: Decides which items get the extra exposure.
    """
    none = np.empty(0, dtype=np.int64)
    if amount.frequency is not None:
        rounds = int(amount.frequency)
        # The fraction becomes that share of the items, each with one exposure more, chosen by a seeded permutation.
        more = round((amount.frequency - rounds) * items)
        return Exposures(rounds, np.sort(permutation(items, seed, 1)[:more]) if more else none)
    target = int(amount.tokens if amount.tokens is not None else (amount.share or 0.0) * tokens)
    # Rounds of one cycle differ in length, and every cycle is as long as the first: whole cycles by division, whole
    # rounds of the last cycle by its cumulative lengths, and single items by theirs in a seeded order.
    ends = np.cumsum([int(lengths(turn).sum()) for turn in range(cycle)])
    if not items or not ends[-1]:
        return Exposures(0, none)
    cycles, rest = divmod(target, int(ends[-1]))
    turns = int(np.searchsorted(ends, rest, side="right"))
    rest -= int(ends[turns - 1]) if turns else 0
    order = permutation(items, seed, 1)
    extra = order[: int(np.searchsorted(np.cumsum(lengths(turns)[order]), rest, side="right"))]
    return Exposures(cycles * cycle + turns, np.sort(extra))
