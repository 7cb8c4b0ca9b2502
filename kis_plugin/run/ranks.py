"""The processes that train one model together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kis_plugin.hashing import IntArray

__all__ = ["Ranks"]


def _alone(array: IntArray) -> IntArray:
    return array


@dataclass(frozen=True)
class Ranks:
    """The processes that train one model together.

    Attributes:
        rank: Which of them this is.
        size: How many there are.
        sum: Sums an array over them; every rank calls it.
    """

    rank: int = 0
    size: int = 1
    sum: Callable[[IntArray], IntArray] = _alone

    def greatest(self, number: int) -> int:
        """Return the greatest of the numbers that ranks call this with; every rank calls it."""
        numbers = np.zeros(self.size, dtype=np.int64)
        numbers[self.rank] = number
        return int(self.sum(numbers).max())
