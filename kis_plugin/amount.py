"""How often each item is shown: a frequency, a share or a number of tokens, made whole and exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kis_plugin.config import InfusionConfig
from kis_plugin.seeded import IntArray, permutation

__all__ = ["Exposures", "exposures"]


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

    def infused_tokens(self, lengths: IntArray) -> int:
        """Return the tokens of all exposures, given the items' lengths, (variants, items)."""
        variants = len(lengths)
        cycles, rest = divmod(self.rounds, variants)
        rounds = lengths.sum(axis=1)
        return cycles * int(rounds.sum()) + int(rounds[:rest].sum() + lengths[rest, self.extra].sum())


def exposures(amount: InfusionConfig, lengths: IntArray, tokens: int, seed: int) -> Exposures:
    """Turn the configured amount into whole exposures.

    A fractional frequency gives every item ⌊F⌋ or ⌈F⌉ with the total rounded once; a share or an amount of tokens
    gives as many exposures as fit it, so that the total falls short by less than one item.

    Args:
        amount: One of frequency, share and tokens is set.
        lengths: Tokens of each item, EOS included, by the variant of its text, (variants, items). Round k tells
            every item in variant k modulo their number; the extra exposures are in the variant that comes next.
        tokens: Token budget D of the run.
        seed: Decides which items get the extra exposure.
    """
    variants, items = lengths.shape
    order = permutation(items, seed, 1)
    if amount.frequency is not None:
        rounds = int(amount.frequency)
        extra = order[: round((amount.frequency - rounds) * items)]
    else:
        target = int(amount.tokens if amount.tokens is not None else (amount.share or 0.0) * tokens)
        cycles, rest = divmod(target, int(lengths.sum()))
        ends = np.cumsum(lengths.sum(axis=1))
        more = int(np.searchsorted(ends, rest, side="right"))
        rounds, rest = cycles * variants + more, rest - (int(ends[more - 1]) if more else 0)
        extra = order[: int(np.searchsorted(np.cumsum(lengths[more, order]), rest, side="right"))]
    return Exposures(rounds, np.sort(extra))
