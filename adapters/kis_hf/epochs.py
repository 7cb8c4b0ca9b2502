"""How a Trainer reads its data: rows of a batch, batches of an epoch, and where a resume continues."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from torch.utils.data import BatchSampler, IterableDataset
from transformers import Trainer
from transformers.trainer_utils import has_length

from kis_hf.host import sharing
from kis_hf.row_numbering import inmost_batches
from kis_plugin.errors import KISError, Problem

__all__ = ["Epochs", "Position"]


@dataclass
class Position:
    """How far a run has read its data.

    Attributes:
        epoch: Whole epochs before this one.
        batches: Batches that a rank read in this epoch.
        batch_rows: Rows of one batch over all ranks.
        rows: Rows of the run that were read, over all ranks and epochs.
        lengths: Tokens of each row of the first step, where they differ; empty where they do not; None before it.
        waiting: Planned rows whose texts wait for a row with room.
    """

    epoch: int = 0
    batches: int = 0
    batch_rows: int = 0
    rows: int = 0
    lengths: list[int] | None = None
    waiting: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Epochs:
    """What is known of the epochs of a prepared loader before it is iterated.

    Attributes:
        size: Rows of one batch on one rank, B.
        ranks: Processes.
        length: Batches of one epoch on one rank; None where the data has no length.
        last: Rows of the last batch of an epoch on one rank, where there is a length.
        parts: Processes that read parts of the data of their own; 1 where one order of rows is dealt to all of them.
        own_batches: Whether the user's own code makes the batches: rows of other batches may come in another order.
        workers: Loader workers that share a stream with a length; 1 for other data.
    """

    size: int
    ranks: int
    length: int | None
    last: int
    parts: int = 1
    own_batches: bool = False
    workers: int = 1

    @classmethod
    def of(cls, trainer: Trainer, loader: Any) -> Epochs:
        """Look at a loader, reading no data.

        Raises:
            KISError: Data of which the Trainer would show only a part, or epochs whose rows cannot be known beforehand.
        """
        inner = getattr(loader, "base_dataloader", loader)
        ranks = int(trainer.accelerator.num_processes) // sharing(trainer)
        if not hasattr(inner, "dataset"):  # a loader of the user's own: only its batches can be seen
            size = int(getattr(inner, "batch_size", None) or trainer._train_batch_size)
            return cls(size, ranks, None, size, ranks, own_batches=True)
        _refuse_sharded_twice(inner.dataset, ranks)
        dispatched = type(loader).__name__ == "DataLoaderDispatcher"
        parts = 1 if dispatched or (inner is not loader and not _own_part(inner.dataset)) else ranks
        batches = inner.batch_sampler
        own = type(inmost_batches(batches)).__iter__ is not BatchSampler.__iter__
        size = int(inner.batch_size or getattr(batches, "batch_size", None) or trainer._train_batch_size)
        if getattr(loader if dispatched else batches, "split_batches", False):
            size //= ranks
        if not has_length(loader):
            return cls(size, ranks, None, size, parts, own)
        prepared = inner is not loader  # else every rank has a loader, and rows, of its own
        whole = size * ranks if prepared else size
        rows = len(_inmost(inner.dataset)) if prepared or not has_length(inner.sampler) else len(inner.sampler)
        left = rows - (len(loader) - 1) * whole
        if not 0 < left < whole:
            last = size
        elif dispatched:
            last = math.ceil(left / ranks)
        elif whole == size:
            last = left
        elif getattr(batches, "even_batches", True):
            last = size  # accelerate fills the last batches with rows of the first
        else:
            found = f"{rows} rows, {left} of them in the last batches of {ranks} processes"
            hint = "Set dataloader_drop_last=True, or leave even_batches on."
            raise KISError(Problem("train_dataset", found, f"a multiple of {whole} rows", hint))
        shared = isinstance(inner.dataset, IterableDataset) and ranks == 1 and not inner.drop_last
        workers = max(int(inner.num_workers), 1) if shared else 1
        return cls(size, ranks, len(loader), last, parts, own, workers)

    @property
    def numbers(self) -> dict[str, int]:
        """What a resume must find unchanged, besides the rows of a step.

        Rows are dealt to processes in one order, so batches of another size or on other processes are the same rows,
        step by step. Where each process reads a part of its own, those of another number of processes are others.
        """
        numbers = {"rows_per_epoch": self.rows or 0, "processes_reading": self.parts}
        return numbers | ({"rows_per_batch": self.size} if self.own_batches or self.parts > 1 else {})

    @property
    def rows(self) -> int | None:
        """Rows that all ranks train on in one epoch; None where the data has no length."""
        return None if self.length is None else ((self.length - 1) * self.size + self.last) * self.ranks

    def rows_of_run(self, steps: int, accumulation: int) -> int:
        """Return the rows of a run of so many optimizer steps, over all ranks.

        Raises:
            KISError: The run would meet short batches within an epoch: each worker ends with one of its own.
        """
        self._refuse_short_batches(steps * accumulation)
        step = accumulation * self.size * self.ranks
        if self.length is None or self.rows is None:
            return steps * step
        whole, rest = divmod(steps, math.ceil(self.length / accumulation))
        return whole * self.rows + min(rest * step, self.rows)

    def _refuse_short_batches(self, batches: int) -> None:
        rows, whole = self.rows, self.size * self.workers
        if self.workers == 1 or rows is None or rows % whole == 0 or batches <= rows // whole * self.workers:
            return
        found = f"a stream of {rows} rows, which {self.workers} workers share in batches of {self.size}"
        hint = (
            "Each worker ends with a short batch of its own, after which the next row is unknown. Set "
            "dataloader_num_workers to 0 or 1, or leave __len__ out and give max_steps."
        )
        raise KISError(Problem("train_dataset", found, f"a multiple of {whole} rows", hint))

    def due(self, batches: int) -> int:
        """Return the rows of the batch that comes after ``batches`` of an epoch, on one rank."""
        return self.last if self.length is not None and batches + 1 == self.length else self.size

    def resumed_at(self, step: int, accumulation: int, skips: bool) -> Position:
        """Return where in the data the Trainer continues when it resumes at ``step``, skipping batches or not."""
        per_epoch = step + 1 if self.length is None else math.ceil(self.length / accumulation)
        epoch, done = divmod(step, per_epoch)
        return Position(epoch, done * accumulation if skips else 0, self.size * self.ranks)

    def same(self, one: Position, other: Position) -> bool:
        """Return whether two places in the data are the same: the end of an epoch is the beginning of the next."""
        return self._place(one) == self._place(other)

    def _place(self, position: Position) -> tuple[int, int]:
        """Return the epoch, and the rows that were read in it over all ranks."""
        read = position.batches * position.batch_rows
        if self.rows is None:
            return position.epoch, read
        return divmod(position.epoch * self.rows + min(read, self.rows), self.rows)


def _inmost(dataset: Any) -> Any:
    """Return the user's dataset: accelerate wraps an iterable one to split its rows among ranks."""
    while type(dataset).__name__ == "IterableDatasetShard":
        dataset = dataset.dataset
    return dataset


def _own_part(dataset: Any) -> bool:
    """Return whether accelerate gave this process shards of its own, as of a ``datasets.IterableDataset``."""
    return isinstance(dataset, IterableDataset) and type(dataset).__name__ != "IterableDatasetShard"


def _refuse_sharded_twice(dataset: Any, ranks: int) -> None:
    """Refuse a ``datasets.IterableDataset`` that was split by node already: the Trainer gives each rank its part."""
    dataset = _inmost(dataset)
    split = getattr(dataset, "_distributed", None) if isinstance(dataset, IterableDataset) else None
    if ranks > 1 and split is not None:
        found = f"part {split.rank} of {split.world_size} of a dataset (split_dataset_by_node)"
        hint = "The Trainer splits it once more, and most of its rows would never be trained on."
        raise KISError(Problem("train_dataset", found, "the whole dataset", hint))
