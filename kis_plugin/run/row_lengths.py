"""Base rows of different lengths: which of them can take what is infused, and how many more rows that needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kis_plugin.hashing import IntArray

__all__ = ["RowLengths"]

_RISK = 1e-9  # probability, about, that texts are left over when the run ends
_QUANTILES = (0.02, 0.2, 0.35, 0.5, 0.7, 0.85)
_OF_SAMPLE = 0.8
_BUSIEST = 0.95  # part of the rows with room that may be infused


@dataclass(frozen=True)
class RowLengths:
    """The lengths of a run's base rows, where they differ.

    Infused texts of one row together have at most ``room`` tokens. A base row that is shorter keeps its text; what was
    planned for it goes to the next row that has room.

    Attributes:
        lengths: (rows,) tokens of each base row of an epoch, in any order, or of a sample of them.
        sample: Whether they are a sample, perhaps a small one. The part of rows with room is then assumed to be smaller
            than in the sample: 0.8 k / (n + 2) for k of n rows.
    """

    lengths: IntArray
    sample: bool = False

    @property
    def mean(self) -> float:
        """Mean tokens a row."""
        return float(self.lengths.mean())

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return int(self.lengths.max())

    @property
    def uniform(self) -> bool:
        """Whether all of these rows have one length."""
        return bool((self.lengths == self.lengths[0]).all())

    @cached_property
    def rooms(self) -> tuple[int, ...]:
        """Tokens that infused texts of one row may have together: a few choices, from small to all of a row.

        A small room is one that more rows have, a large one takes more texts. Beside some quantiles it is the one that
        leaves the most room in all rows together: with L tokens, the rows of L tokens or more can take L each.
        """
        room, counts = np.unique(self.lengths, return_counts=True)
        rows = counts[::-1].cumsum()[::-1]  # rows of each length or more
        quantiles = np.quantile(self.lengths, _QUANTILES, method="lower").astype(int).tolist()
        return tuple(sorted({*quantiles, int(room[np.argmax(room * rows)]), self.longest}))

    def part(self, room: int) -> float:
        """Return the part of the rows that have ``room``."""
        part = (self.lengths >= room).sum() / (len(self.lengths) + 2 * self.sample)
        return float(part) * (_OF_SAMPLE if self.sample else 1.0)

    def most(self, rows: int, room: int) -> int:
        """Return how many of ``rows`` rows may be infused."""
        return math.floor(rows * self.part(room) * _BUSIEST)

    def kept_free(self, rows: int, infused: int, room: int) -> int:
        """Return the rows at the end of the run that nothing may be planned for: what waits then still finds room.

        A row is infused with probability d = ``infused`` / ``rows``, and has room with probability p. What waits is a
        queue that grows with probability d (1 - p) and shrinks with probability p (1 - d): in the long run it is longer
        than q with probability r^q, where r is their ratio.
        """
        part, density = self.part(room), infused / max(rows, 1)
        if part >= 1 or not infused:
            return 0
        ratio = density * (1 - part) / (part * max(1 - density, 1e-9))
        waiting = min(math.log(_RISK) / math.log(min(ratio, 0.999)), infused)
        # q rows with room are found in q / p rows, give or take six standard deviations.
        return math.ceil((waiting + 1) / part + 6 * math.sqrt((waiting + 1) * (1 - part)) / part)
