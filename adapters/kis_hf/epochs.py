"""How a Trainer passes over data: rows of its batches, batches of a pass, and where a resume goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch.utils.data import IterableDataset
from transformers import Trainer
from transformers.trainer_utils import has_length

from kis_plugin.errors import KISError, Problem

__all__ = ["Passes", "Position"]


@dataclass
class Position:
    """How far a run has come in its data.

    Attributes:
        passes: Whole passes over the data before this one.
        batches: Batches that a rank drew in this pass.
        rows: Rows of the run that were drawn, over all ranks and passes.
    """

    passes: int = 0
    batches: int = 0
    rows: int = 0


@dataclass(frozen=True)
class Passes:
    """What is known of a prepared loader's passes before it is iterated.

    Attributes:
        size: Rows of one batch on one rank, B.
        ranks: Processes.
        length: Batches of one pass on one rank; None where the data has no length.
        last: Rows of the last batch of a pass on one rank, where there is a length.
    """

    size: int
    ranks: int
    length: int | None
    last: int

    @classmethod
    def of(cls, trainer: Trainer, loader: Any) -> Passes:
        """Look at a loader, drawing nothing.

        Raises:
            KISError: Data that the Trainer would show in parts only, or passes whose rows cannot be known beforehand.
        """
        inner = getattr(loader, "base_dataloader", loader)
        ranks = int(trainer.accelerator.num_processes)
        _refuse_sharded_twice(inner.dataset, ranks)
        _refuse_joined(inner.collate_fn)
        dispatched = type(loader).__name__ == "DataLoaderDispatcher"
        batches = inner.batch_sampler
        size = int(inner.batch_size or getattr(batches, "batch_size", None) or trainer._train_batch_size)
        if getattr(loader if dispatched else batches, "split_batches", False):
            size //= ranks
        if not has_length(loader):
            return cls(size, ranks, None, size)
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
        return cls(size, ranks, len(loader), last)

    @property
    def rows(self) -> int | None:
        """Rows that all ranks train on in one pass; None where the data has no length."""
        return None if self.length is None else ((self.length - 1) * self.size + self.last) * self.ranks

    def rows_of_run(self, steps: int, accumulation: int) -> int:
        """Return the rows of a run of so many optimizer steps, over all ranks."""
        step = accumulation * self.size * self.ranks
        if self.length is None or self.rows is None:
            return steps * step
        whole, rest = divmod(steps, math.ceil(self.length / accumulation))
        return whole * self.rows + min(rest * step, self.rows)

    def due(self, batches: int) -> int:
        """Return the rows of the batch that follows on ``batches`` ones of a pass, on one rank."""
        return self.last if self.length is not None and batches + 1 == self.length else self.size

    def resumed_at(self, step: int, accumulation: int, skips: bool) -> Position:
        """Return where the Trainer goes on in the data when it resumes at ``step``, skipping batches or not."""
        per_pass = step + 1 if self.length is None else math.ceil(self.length / accumulation)
        passes, done = divmod(step, per_pass)
        return Position(passes, done * accumulation if skips else 0)

    def same(self, one: Position, other: Position) -> bool:
        """Tell whether two places in the data are the same: the end of a pass is the beginning of the next."""
        if self.length is None:
            return (one.passes, one.batches) == (other.passes, other.batches)
        return one.passes * self.length + one.batches == other.passes * self.length + other.batches


def _inmost(dataset: Any) -> Any:
    """Return the user's dataset: accelerate wraps an iterable one to share its rows among ranks."""
    while type(dataset).__name__ == "IterableDatasetShard":
        dataset = dataset.dataset
    return dataset


def _refuse_sharded_twice(dataset: Any, ranks: int) -> None:
    """Refuse a ``datasets.IterableDataset`` that was split by node already: the Trainer gives each rank its part."""
    dataset = _inmost(dataset)
    split = getattr(dataset, "_distributed", None) if isinstance(dataset, IterableDataset) else None
    if ranks > 1 and split is not None:
        found = f"part {split.rank} of {split.world_size} of a dataset (split_dataset_by_node)"
        hint = "The Trainer splits it once more, and most of its rows would never be trained on."
        raise KISError(Problem("train_dataset", found, "the whole dataset", hint))


def _refuse_joined(collate: Any) -> None:
    """Refuse a collator that joins the rows of a batch to one: they are infused row by row here."""
    name = type(getattr(collate, "data_collator", collate)).__name__
    if name == "DataCollatorWithFlattening":
        hint = "Rows of one length need no flattening; map-style data may have it."
        raise KISError(Problem("data_collator", name, "one that gives batches (rows, tokens)", hint))
