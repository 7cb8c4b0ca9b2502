"""An iterable dataset of a plain loop, infused where its rows are made: in the loader's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch.utils.data._utils.worker as torch_worker
from torch.utils.data import IterableDataset, get_worker_info

from kis_plugin.errors import KISError, Problem
from kis_torch.ranks import rank_and_size

__all__ = ["InfusedIterableDataset"]


class InfusedIterableDataset(IterableDataset[Any]):
    """Gives one rank the rows of a whole run, each infused as its number says.

    The data is iterated again where it ends, and no batch is short. A loader takes batches from its workers in turn:
    batch b of worker w of N is batch ``b N + w`` of the rank.

    Args:
        base: The data. It splits itself among ranks and workers, as in any loop without KIS.
        example: Called with the global row and the base example, returns the example that takes its place.
        batches: Batches of the whole run on this rank.
        batch_size: Rows of a batch on one rank; None: a loader has at most one worker, and counts rows singly.
        rank: By default that of ``torch.distributed``.
        world_size: Likewise.
        start: Batches that this rank was trained on before; as many are drawn and dropped.
    """

    def __init__(
        self,
        base: Any,
        example: Callable[[int, Any], Any],
        batches: int,
        batch_size: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        start: int = 0,
    ) -> None:
        self.base, self.example, self.batches, self.batch_size, self.start = base, example, batches, batch_size, start
        self.rank, self.world_size = rank_and_size(rank, world_size)

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that this worker gives from ``start`` on.

        Raises:
            KISError: Several workers and no ``batch_size``, or data that can be iterated only once.
        """
        worker = get_worker_info()
        workers = worker.num_workers if worker else 1
        if workers > 1 and self.batch_size is None:
            hint = "Rows are numbered by batch and worker."
            raise KISError(Problem("num_workers", f"{workers}", "at most 1 without batch_size", hint))
        size = self.batch_size or 1
        # A new loader takes its first batch from worker 0, which therefore continues the share of the worker whose
        # turn it was.
        share = (self.start + (worker.id if worker else 0)) % workers
        if worker is not None and share != worker.id:
            torch_worker._worker_info = torch_worker.WorkerInfo(
                id=share, num_workers=workers, seed=worker.seed, dataset=worker.dataset
            )
        rows = self._endless()
        for batch in range(share, self.batches, workers):
            first = (batch * self.world_size + self.rank) * size
            for row in range(first, first + size):
                base = next(rows)
                if batch >= self.start:
                    yield self.example(row, base)

    def _endless(self) -> Iterator[Any]:
        """Yield the base rows, epoch after epoch."""
        epoch = 0
        while True:
            if hasattr(self.base, "set_epoch"):
                self.base.set_epoch(epoch)
            row = None
            for row in self.base:
                yield row
            if row is None:
                found = f"no rows in epoch {epoch + 1}"
                hint = "Each worker of each rank needs rows of its own, and every epoch as many as the one before."
                raise KISError(Problem("dataset", found, "a stream that iter() starts again", hint))
            epoch += 1
