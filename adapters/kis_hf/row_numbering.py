"""Numbers rows in the sampler of a Trainer's train loader: map-style data, whose order is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import BatchSampler, IterableDataset

from kis_plugin.errors import KISError, Problem
from kis_plugin.infusion.row_index import InfusedDataset, NumberedSampler, OncePerRow
from kis_torch.collating import CheckedCollator
from kis_torch.room import RoomQueue, RoomSampler

__all__ = ["RowNumbering", "check_collator", "inmost_batches", "masks_eos"]


@dataclass
class RowNumbering:
    """What is replaced in the loader handed to ``on_train_begin``, and how to restore it.

    The loader of accelerate wraps torch's, which looks its dataset up at each ``iter()``; ``skip_first_batches`` makes
    a new loader of the same dataset and batch sampler on a resume. So both keep what is set here.
    """

    loader: Any
    """torch's own loader, inside accelerate's."""
    batches: Any
    """The host's batch sampler of this rank."""
    inmost: Any
    """The batch sampler that draws from the sampler, before sharding."""
    rows_per_batch: int
    """Rows that all ranks together take in one go."""
    rows_per_epoch: int
    numbered: NumberedSampler | None = None
    uncheck: Callable[[], None] | None = None
    """Restores the collator."""

    @staticmethod
    def fits(loader: Any) -> bool:
        """Return whether rows can be numbered in the loader's sampler: its batches follow the sampler's order.

        Raises:
            KISError: A dataset that is infused already.
        """
        inner = getattr(loader, "base_dataloader", loader)
        if isinstance(getattr(inner, "dataset", None), InfusedDataset):
            found = "a dataset that is infused already"
            raise KISError(Problem("train_dataset", found, "the base data", "Use the callback or infuse(), not both."))
        if inner is loader or isinstance(inner.dataset, IterableDataset):
            return False
        inmost = inmost_batches(inner.batch_sampler)
        return type(inmost).__iter__ is BatchSampler.__iter__ and hasattr(loader, "total_batch_size")

    @classmethod
    def find(cls, loader: Any) -> RowNumbering:
        """Find the places, changing nothing.

        Raises:
            KISError: Fewer rows than one batch.
        """
        inner = loader.base_dataloader
        batches, inmost = inner.batch_sampler, inmost_batches(inner.batch_sampler)
        rows_per_batch = int(loader.total_batch_size)
        rows = len(inmost.sampler)
        if rows < rows_per_batch:
            expected = f"at least one batch over all ranks, {rows_per_batch}"
            raise KISError(Problem("train_dataset", f"{rows} rows", expected))
        return cls(inner, batches, inmost, rows_per_batch, min(rows, len(loader) * rows_per_batch))

    def install(
        self,
        example: Callable[[int | None, Mapping[str, Any]], Mapping[str, Any]],
        drawn: Callable[..., None],
        skip: int,
        room: tuple[RoomQueue, npt.NDArray[np.bool_]] | None = None,
    ) -> NumberedSampler:
        """Replace dataset, sampler and batch sampler; return the sampler, whose ``epoch`` must be kept right.

        Args:
            example: Puts into an example what is planned for a row.
            drawn: Called with the rows of each batch, and the planned rows that they carry.
            skip: Batches that the Trainer draws only to drop, on a resume.
            room: Where rows differ in length: what waits for room, and which rows of the dataset have it.
        """
        sampler = self.inmost.sampler
        if room is None:
            self.numbered = NumberedSampler(sampler, self.rows_per_epoch)
        else:
            self.numbered = RoomSampler(sampler, self.rows_per_epoch, *room)
        self.inmost.sampler = self.numbered
        # DataLoader.__setattr__ forbids both once it is built; nothing in it depends on them but the next iter().
        object.__setattr__(self.loader, "dataset", InfusedDataset(self.loader.dataset, example))
        object.__setattr__(self.loader, "batch_sampler", OncePerRow(self.batches, drawn, skip))
        self.uncheck = check_collator(self.loader)
        return self.numbered

    def undo(self) -> None:
        """Restore the loader; calling it twice is fine."""
        if self.numbered is None:
            return
        self.inmost.sampler = self.numbered.sampler
        object.__setattr__(self.loader, "dataset", self.loader.dataset.base)
        object.__setattr__(self.loader, "batch_sampler", self.batches)
        if self.uncheck is not None:
            self.uncheck()
        self.numbered = self.uncheck = None


def check_collator(loader: Any) -> Callable[[], None]:
    """Let a loader's collator be named where it cannot join rows of different lengths; return how to undo that."""
    inner = getattr(loader, "base_dataloader", loader)
    collate = getattr(inner, "collate_fn", None)
    if collate is None:
        return lambda: None
    inner.collate_fn = CheckedCollator(collate, "data_collator")

    def undo() -> None:
        inner.collate_fn = collate

    return undo


def masks_eos(loader: Any) -> bool:
    """Return whether the collator makes labels in which EOS is masked, since it is the padding token too.

    The language-modelling collator of ``transformers`` masks every padding token: no text's end would be learnt.
    """
    collate: Any = getattr(getattr(loader, "base_dataloader", loader), "collate_fn", None)
    collate = getattr(collate, "data_collator", collate)  # inside the one that removes columns
    tokenizer = getattr(collate, "tokenizer", None)
    if getattr(collate, "mlm", None) is not False or tokenizer is None:
        return False
    pad = getattr(tokenizer, "pad_token_id", None)
    return pad is not None and pad == getattr(tokenizer, "eos_token_id", None)


def inmost_batches(batches: Any) -> Any:
    """Return the batch sampler inside those of accelerate, which deal its batches to processes."""
    while hasattr(batches, "batch_sampler"):
        batches = batches.batch_sampler
    return batches
