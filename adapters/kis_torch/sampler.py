"""The order of a map-style dataset in a plain loop, every index with the row of the run that it fills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any

from torch.utils.data import Sampler

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import permutation
from kis_plugin.infusion.row_index import RowIndex
from kis_torch.ranks import rank_and_size

__all__ = ["InfusionSampler"]


class InfusionSampler(Sampler[RowIndex]):
    """Gives one rank its rows, epoch after epoch, from where training stands.

    Rows are given out in whole batches over all ranks; what is left of an epoch is dropped. Batch b of rank r of W, of
    B rows each, fills rows ``(b W + r) B`` and the following of the run, in whichever epoch it lies.

    Args:
        source: The dataset, or a sampler whose order is kept: the same one on every rank.
        batch_size: Rows of a batch on one rank, B.
        rank: By default that of ``torch.distributed``.
        world_size: Likewise, W.
        shuffle: Read a dataset in another seeded order in each epoch; a sampler has its own.
        seed: Seed of those orders.

    Raises:
        KISError: Fewer rows than one batch over all ranks, or a sampler that splits rows among ranks already.
    """

    def __init__(
        self,
        source: Sized,
        batch_size: int,
        rank: int | None = None,
        world_size: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        self.source, self.batch_size, self.shuffle, self.seed = source, batch_size, shuffle, seed
        self.rank, self.world_size = rank_and_size(rank, world_size)
        if hasattr(source, "num_replicas"):
            hint = "InfusionSampler splits rows among ranks itself."
            raise KISError(Problem("sampler", type(source).__name__, "one that gives the rows of all ranks", hint))
        whole = batch_size * self.world_size
        self.batches_per_epoch = len(source) // whole
        if not self.batches_per_epoch:
            raise KISError(Problem("dataset", f"{len(source)} rows", f"at least one batch over all ranks, {whole}"))
        self.trained = 0
        """Batches that this rank was trained on since the run began."""

    @property
    def epoch(self) -> int:
        """The epoch that training stands in."""
        return self.trained // self.batches_per_epoch

    def __iter__(self) -> Iterator[RowIndex]:
        """Yield what is left of the epoch that training stands in."""
        epoch, done = divmod(self.trained, self.batches_per_epoch)
        whole = self.batch_size * self.world_size
        first = epoch * self.batches_per_epoch * whole
        for place, index in enumerate(self._order(epoch)):
            batch, within = divmod(place, whole)
            if batch == self.batches_per_epoch:
                return
            if batch >= done and within // self.batch_size == self.rank:
                yield RowIndex(index, first + place)

    def __len__(self) -> int:
        """Return the rows of this rank that are left of the epoch."""
        return (self.batches_per_epoch - self.trained % self.batches_per_epoch) * self.batch_size

    def advance(self, batches: int = 1) -> None:
        """Report that this rank was trained on more batches. Loaders fetch ahead, so the sampler cannot know."""
        self.trained += batches

    def set_epoch(self, epoch: int) -> None:
        """Check a loop's own count of epochs.

        Raises:
            KISError: Training stands in another epoch: rows would be shown twice or never.
        """
        if epoch != self.epoch:
            found = f"{epoch}, with {self.trained} batches trained on, {self.batches_per_epoch} an epoch"
            hint = "Report every batch that was trained on: KnowledgeInfusion.batch(), or advance()."
            raise KISError(Problem("set_epoch", found, f"{self.epoch}", hint))

    def state_dict(self) -> dict[str, int]:
        """Return where training stands."""
        return {
            "batches": self.trained,
            "rows_per_batch": self.batch_size * self.world_size,
            "batches_per_epoch": self.batches_per_epoch,
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where training stood.

        Raises:
            KISError: Other data, or another number of rows in a batch over all ranks.
        """
        problems = [
            Problem(f"resume: {name}", f"{now}", f"{state[name]} as before", "Rows would be lost or repeated.")
            for name, now in self.state_dict().items()
            if name != "batches" and now != state[name]
        ]
        if problems:
            raise KISError(problems)
        self.trained = state["batches"]

    def _order(self, epoch: int) -> Iterator[int]:
        source: Any = self.source
        if isinstance(source, Sampler) or not hasattr(source, "__getitem__"):
            if hasattr(source, "set_epoch"):
                source.set_epoch(epoch)
            return iter(source)
        return iter(permutation(len(source), self.seed, epoch).tolist() if self.shuffle else range(len(source)))
