"""Data of a plain loop that comes as it comes: a stream, infused in the loader's workers, and collated batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch.utils.data._utils.worker as torch_worker
from torch.utils.data import IterableDataset, get_worker_info

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.ranks import Ranks
from kis_torch.batch import BatchRows, infused_batch
from kis_torch.ranks import rank_and_size
from kis_torch.room import RoomQueue
from kis_torch.row_infusion import RowInfusion

__all__ = ["InfusedBatches", "InfusedIterableDataset", "endless"]


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
        rows = endless(self.base)
        for batch in range(share, self.batches, workers):
            first = (batch * self.world_size + self.rank) * size
            for row in range(first, first + size):
                base = next(rows)
                if batch >= self.start:
                    yield self.example(row, base)


class InfusedBatches:
    """Infuses the batches of a plain loop after they were collated: rows of any length, batches of any form.

    Every rank must take its batches in step with the others: they agree on which rows have room.

    Args:
        row_infusion: Puts infused tokens into one row.
        ranks: The processes that train.
        batch_size: Rows of a batch on one rank.
        drawn: Called with the numbers of the rows of each batch, and the planned rows whose texts they carry.
        batches: Batches that were trained on before.
        waiting: Planned rows that waited for a row with room then.
    """

    def __init__(
        self,
        row_infusion: RowInfusion,
        ranks: Ranks,
        batch_size: int,
        drawn: Callable[..., None],
        batches: int = 0,
        waiting: Iterable[int] = (),
    ) -> None:
        self._row_infusion, self._ranks, self._size, self._drawn = row_infusion, ranks, batch_size, drawn
        self._queue = RoomQueue(row_infusion.source.infused, waiting)
        self._given = batches
        self._waiting = {batches: list(self._queue.waiting)}  # by batches given: a loop may take some ahead

    def waiting(self, batches: int) -> list[int]:
        """Return the planned rows that waited after so many batches; earlier ones are forgotten."""
        self._waiting = {given: rows for given, rows in self._waiting.items() if given >= batches}
        return self._waiting[batches]

    def infused(self, batch: Any) -> Any:
        """Return the batch that comes next, infused.

        Raises:
            KISError: No token ids in it, or another number of rows.
        """
        rows = BatchRows.of(batch, self._size)
        if len(rows.bounds) != self._size:
            found, expected = f"a batch of {len(rows.bounds)} rows", f"{self._size} rows in every batch"
            raise KISError(Problem(f"batch {self._given + 1}", found, expected, "Leave short batches out (drop_last)."))
        ranks, source = self._ranks, self._row_infusion.source
        room = np.zeros((ranks.data_size, self._size), dtype=np.int64)
        room[ranks.data_rank] = rows.lengths >= source.sequence_length
        if ranks.data_size > 1:
            room = ranks.sum(room)
        first = self._given * ranks.data_size * self._size
        carried = [self._queue.next(first + place, bool(has)) for place, has in enumerate(room.ravel().tolist())]
        mine = slice(ranks.data_rank * self._size, (ranks.data_rank + 1) * self._size)
        numbers = range(first, first + ranks.data_size * self._size)[mine]
        self._drawn(numbers, [row for row in carried[mine] if row is not None])
        self._given += 1
        self._waiting[self._given] = list(self._queue.waiting)
        return infused_batch(self._row_infusion, carried[mine], rows)


def endless(data: Any, start: int = 0) -> Iterator[Any]:
    """Yield what ``data`` gives, epoch after epoch, without the first ``start`` of the run.

    Raises:
        KISError: An epoch without anything.
    """
    epoch = 0
    while True:
        if hasattr(data, "set_epoch"):
            data.set_epoch(epoch)
        one = None
        for one in data:
            if start:
                start -= 1
            else:
                yield one
        if one is None:
            hint = "Each worker of each rank needs rows of its own, and every epoch as many as the one before."
            expected = "a stream that iter() starts again"
            raise KISError(Problem("dataset", f"no rows in epoch {epoch + 1}", expected, hint))
        epoch += 1
