"""The processes that train one model together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray

__all__ = ["Ranks"]

Reduce = Callable[[IntArray], IntArray]


def _alone(array: IntArray) -> IntArray:
    return array


@dataclass(frozen=True)
class Ranks:
    """The processes that train one model together.

    Processes that split a batch between them (tensor, context or sequence parallelism) see the same rows. They form a
    sharing group and have one *data rank*. Rows of the data, the work of an evaluation and sums of counts are divided
    by data ranks; who writes files is decided by ``rank``.

    Attributes:
        rank: Which of the processes this is. Rank 0 writes.
        size: How many there are.
        reduce: Sums an array over all processes; every process calls it.
        data_rank: Which sharing group this process belongs to; by default ``rank``, every process by itself.
        data_size: How many sharing groups there are; by default ``size``.
        contributes: Whether this process is the first of its sharing group. Only that one adds to sums.
    """

    rank: int = 0
    size: int = 1
    reduce: Reduce = _alone
    data_rank: int = -1
    data_size: int = -1
    contributes: bool = True

    def __post_init__(self) -> None:
        """Make every process a sharing group of its own unless groups are given."""
        if self.data_rank < 0:
            object.__setattr__(self, "data_rank", self.rank)
        if self.data_size < 0:
            object.__setattr__(self, "data_size", self.size)

    @classmethod
    def sharing(cls, rank: int, size: int, reduce: Reduce, data_rank: int, data_size: int) -> Ranks:
        """Return ranks whose processes share batches as ``data_rank`` says; every process must call it.

        Raises:
            KISError: A data rank outside ``range(data_size)``, or one that no process has.
        """
        groups = np.zeros(size, dtype=np.int64)
        groups[rank] = data_rank
        groups = reduce(groups)  # (size,) the data rank of every process
        if sorted(set(groups.tolist())) != list(range(data_size)):
            found = f"data ranks {groups.tolist()} of {size} processes"
            raise KISError(Problem("data_rank, data_size", found, f"each of 0 to {data_size - 1} at least once"))
        first = int(np.flatnonzero(groups == data_rank)[0])
        return cls(rank, size, reduce, data_rank, data_size, contributes=first == rank)

    def sum(self, array: IntArray) -> IntArray:
        """Sum an array over data ranks; every process calls it.

        Processes of one sharing group hold the same numbers, so all but the first add zeros.
        """
        return self.reduce(array if self.contributes else np.zeros_like(array))

    def from_rank_0(self, array: IntArray) -> IntArray:
        """Return rank 0's array on every process; all call it with arrays of one shape."""
        return self.reduce(array if self.rank == 0 else np.zeros_like(array))

    def greatest(self, number: int) -> int:
        """Return the greatest of the numbers that processes call this with; every process calls it."""
        numbers = np.zeros(self.size, dtype=np.int64)
        numbers[self.rank] = number
        return int(self.reduce(numbers).max())
