"""The processes that train: those of ``torch.distributed``, or what a loop says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import distributed

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.run.ranks import Ranks

__all__ = ["rank_and_size", "same_on_all_ranks", "sharing_batches", "sum_over_ranks", "summing"]


def rank_and_size(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return what was given, else what ``torch.distributed`` says, else one process.

    Raises:
        KISError: A rank without a world size or the reverse, or one outside of it.
    """
    if rank is None and world_size is None:
        return (distributed.get_rank(), distributed.get_world_size()) if _several() else (0, 1)
    if rank is None or world_size is None or not 0 <= rank < world_size:
        raise KISError(Problem("rank, world_size", f"{rank}, {world_size}", "both, the rank below the world size"))
    return rank, world_size


def sharing_batches(processes: Ranks, data_rank: int | None, data_size: int | None) -> Ranks:
    """Return processes of which some share batches, as ``data_rank`` of ``data_size`` says; every process calls it.

    Raises:
        KISError: One of the two without the other, or numbers that do not fit the processes.
    """
    if data_rank is None and data_size is None:
        return processes
    if data_rank is None or data_size is None or not 0 <= data_rank < data_size <= processes.size:
        found = f"{data_rank}, {data_size} of {processes.size} processes"
        raise KISError(Problem("data_rank, data_size", found, "both, the data rank below the data size"))
    return Ranks.sharing(processes.rank, processes.size, processes.reduce, data_rank, data_size)


def same_on_all_ranks(text: str) -> str:
    """Return rank 0's text on every rank."""
    if not _several():
        return text
    texts = [text]
    distributed.broadcast_object_list(texts)
    return texts[0]


def summing(ranks: int, device: torch.device) -> Callable[[IntArray], IntArray]:
    """Return how to sum an array over ranks.

    Raises:
        KISError: Several ranks outside ``torch.distributed``: they could neither agree nor sum their counts.
    """
    if ranks > 1 and not _several():
        expected = "torch.distributed, initialised before, or the argument sums"
        raise KISError(Problem("world_size", f"{ranks} without a process group", expected))
    return partial(sum_over_ranks, device=device)


def sum_over_ranks(array: IntArray, device: torch.device) -> IntArray:
    """Sum an array over all ranks, on the device of their process group."""
    if not _several():
        return array
    summed = torch.from_numpy(array.copy()).to(device)
    distributed.all_reduce(summed)
    return np.asarray(summed.cpu().numpy(), dtype=np.int64)


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()
