"""The wrapped module's own loader, epoch by epoch, and the place in it at which a checkpoint was written.

Of a loader, LitGPT saves what its ``state_dict`` returns, and neither random state nor epoch. So a stock run that
resumes in its second epoch shuffles differently from an uninterrupted one. Here a resumed epoch starts from the random
state that it had, and continues where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

__all__ = ["Epochs"]


class Epochs:
    """A base loader and the place in it.

    Args:
        loader: The wrapped module's.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader: Any = loader
        self.stateful = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")
        self.started = 0  # epochs
        self.given = 0  # batches of this epoch
        self._random: list[torch.Tensor] = []  # as this epoch began
        self._restored: Mapping[str, Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        """Go through the data once; after a resume, through what is left of the epoch."""
        restored, self._restored = self._restored, None
        if restored is None:
            self.started += 1
            self.given = 0
            self._random = [generator.get_state() for generator in self._generators()]
        self._set_epoch(self.started - 1)
        batches = iter(self.loader) if restored is None else self._rest(restored)
        for batch in batches:
            self.given += 1
            yield batch

    def state(self) -> dict[str, Any]:
        """Return the place after the batch that was given last: the same on every rank but for the base's own part."""
        base = {"loader": self.loader.state_dict()} if self.stateful else {}
        return {
            "epoch": self.started,
            "given": self.given,
            "random": [*self._random],
            "random_now": [generator.get_state() for generator in self._generators()],
            **base,
        }

    @property
    def resuming(self) -> bool:
        """Whether the next epoch is the rest of one."""
        return self._restored is not None

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state`` when next iterated."""
        self.started, self.given, self._random = state["epoch"], state["given"], list(state["random"])
        self._restored = state

    def _rest(self, restored: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the rest of the batches of the epoch."""
        if self.stateful:
            self.loader.load_state_dict(restored["loader"])
            batches = iter(self.loader)
        else:
            for generator, state in zip(self._generators(), self._random, strict=True):
                generator.set_state(state)
            batches = self._without_first(self.given)
        first = next(batches, None)  # samplers draw their seed here at the latest
        for generator, state in zip(self._generators(), restored["random_now"], strict=True):
            generator.set_state(state)
        if first is not None:
            yield first
            yield from batches

    def _without_first(self, count: int) -> Iterator[Any]:
        """Start an epoch and drop its first batches; of a map-style dataset they are not even read."""
        batches = self.loader.batch_sampler
        if batches is None or isinstance(self.loader.dataset, IterableDataset):
            return islice(iter(self.loader), count, None)
        # DataLoader.__setattr__ forbids this once it is built; nothing in it depends on it but the iter() here.
        object.__setattr__(self.loader, "batch_sampler", _Rest(batches, count))
        try:
            return iter(self.loader)
        finally:
            object.__setattr__(self.loader, "batch_sampler", batches)

    def _generators(self) -> list[torch.Generator]:
        """Return every random generator that torch's loaders and samplers draw from."""
        loader = self.loader
        samplers = (loader, loader.sampler, getattr(loader.batch_sampler, "sampler", None))
        own = {id(g): g for g in (getattr(sampler, "generator", None) for sampler in samplers) if g is not None}
        return [torch.default_generator, *own.values()]

    def _set_epoch(self, epoch: int) -> None:
        """Set the epoch of the samplers, as Fabric would."""
        for sampler in (self.loader.sampler, getattr(self.loader.batch_sampler, "sampler", None)):
            if callable(getattr(sampler, "set_epoch", None)):
                sampler.set_epoch(epoch)


class _Rest:
    """A batch sampler without its first batches."""

    def __init__(self, batches: Any, count: int) -> None:
        self._batches = batches
        self._count = count

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self._batches), self._count, None)

    def __len__(self) -> int:
        return max(len(self._batches) - self._count, 0)
