"""The seam in a prepared train loader: its dataset, its sampler and its batch sampler, in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import IterableDataset

from kis_plugin.errors import KISError, Problem
from kis_plugin.rows import InfusedDataset, NumberedSampler, OncePerRow

__all__ = ["LoaderSeam"]

_WHERE = "train_dataloader"


@dataclass
class LoaderSeam:
    """Everything that is replaced in the loader handed to ``on_train_begin``, and how to put it back.

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

    @classmethod
    def find(cls, loader: Any) -> LoaderSeam:
        """Find the places, changing nothing.

        Raises:
            KISError: A loader that KIS cannot number exactly, or one that is built otherwise than those known.
        """
        inner = getattr(loader, "base_dataloader", loader)
        if isinstance(inner.dataset, IterableDataset):
            hint = "Use a map-style dataset (datasets.Dataset, or any with __len__ and __getitem__)."
            raise KISError(Problem("train_dataset", "an iterable dataset", "a map-style one", hint))
        if isinstance(inner.dataset, InfusedDataset):
            found = "a dataset that is infused already"
            raise KISError(Problem("train_dataset", found, "the base data", "Use the callback or infuse(), not both."))
        batches = inmost = inner.batch_sampler
        while hasattr(inmost, "batch_sampler"):
            inmost = inmost.batch_sampler
        if not hasattr(inmost, "sampler") or not hasattr(loader, "total_batch_size"):
            found = f"{type(loader).__name__} over {type(batches).__name__} over {type(inmost).__name__}"
            expected = "accelerate's loader over a batch sampler with .sampler, as in transformers 5.3 to 5.23"
            raise KISError(Problem(_WHERE, found, expected, "Leave out your own batch sampler, or report this."))
        rows_per_batch = int(loader.total_batch_size)
        rows = len(inmost.sampler)
        if rows < rows_per_batch:
            expected = f"at least one batch over all ranks, {rows_per_batch}"
            raise KISError(Problem("train_dataset", f"{rows} rows", expected))
        return cls(inner, batches, inmost, rows_per_batch, min(rows, len(loader) * rows_per_batch))

    def install(
        self,
        example: Callable[[int, Mapping[str, Any]], Mapping[str, Any]],
        drawn: Callable[[Sequence[int]], None],
        skip: int,
    ) -> NumberedSampler:
        """Replace dataset, sampler and batch sampler; return the sampler, whose ``epoch`` must be kept right."""
        self.numbered = NumberedSampler(self.inmost.sampler, self.rows_per_epoch)
        self.inmost.sampler = self.numbered
        # DataLoader.__setattr__ forbids both once it is built; nothing in it depends on them but the next iter().
        object.__setattr__(self.loader, "dataset", InfusedDataset(self.loader.dataset, example))
        object.__setattr__(self.loader, "batch_sampler", OncePerRow(self.batches, drawn, skip))
        return self.numbered

    def undo(self) -> None:
        """Put everything back. Doing it twice is fine."""
        if self.numbered is None:
            return
        self.inmost.sampler = self.numbered.sampler
        object.__setattr__(self.loader, "dataset", self.loader.dataset.base)
        object.__setattr__(self.loader, "batch_sampler", self.batches)
        self.numbered = None
