"""Ranks: processes that share a batch count once, and rank 0 writes."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from kis_plugin.errors import KISError
from kis_plugin.run.ranks import Ranks


def together(size, call):
    """What ``call(rank, reduce)`` gives on each of some ranks that run at once."""
    barrier, slots, found = threading.Barrier(size, timeout=30), [None] * size, [None] * size

    def reduce_on(rank):
        def reduce(array):
            slots[rank] = array
            barrier.wait()
            total = np.sum(slots, axis=0)
            barrier.wait()
            return total

        return reduce

    def run(rank):
        try:
            found[rank] = call(rank, reduce_on(rank))
        except KISError as error:
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("data_ranks", [[0, 1, 2, 3], [0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]])
def test_a_sharing_group_counts_once(data_ranks):
    data_size = max(data_ranks) + 1

    def count(rank, reduce):
        ranks = Ranks.sharing(rank, 4, reduce, data_ranks[rank], data_size)
        rows = np.array([10**ranks.data_rank])  # what this process was given, as its whole group
        return ranks.sum(rows).tolist(), ranks.greatest(rank), ranks.from_rank_0(rows).tolist()

    expected = [sum(10**group for group in range(data_size))]
    assert together(4, count) == [(expected, 3, [1])] * 4


def test_every_process_is_a_group_of_its_own_by_default():
    ranks = Ranks(1, 3)
    assert (ranks.data_rank, ranks.data_size, ranks.contributes) == (1, 3, True)


@pytest.mark.parametrize(("data_ranks", "data_size"), [([0, 2], 2), ([0, 0], 2), ([0, 1], 1)])
def test_data_ranks_with_gaps_are_refused_on_every_process(data_ranks, data_size):
    found = together(2, lambda rank, reduce: Ranks.sharing(rank, 2, reduce, data_ranks[rank], data_size))
    assert all(isinstance(error, KISError) and f"data ranks {data_ranks} of 2" in str(error) for error in found)
