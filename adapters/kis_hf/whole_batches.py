"""Batches before their rows are cut among processes: the model is given a part of each row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import Trainer

from kis_torch.watch import HostCopy

__all__ = ["watch_sequence_parallel", "watch_whole_batches"]

Seen = Callable[[npt.NDArray[np.int64]], None]
Watch = tuple[Callable[[], None], Callable[[], None]]


def watch_whole_batches(trainer: Trainer, seen: Seen) -> Watch:
    """Call ``seen`` with every batch, (rows, T), that a Trainer's ``training_step`` is given.

    Context parallelism cuts the rows of a batch inside of that, in place: the model is given a part of each row.

    Args:
        trainer: The host.
        seen: Called with token ids when the next batch comes, as by ``watch_batches``.

    Returns:
        As ``watch_batches``.
    """
    return _watch_steps(trainer, seen, lambda inputs: inputs["input_ids"])


def watch_sequence_parallel(trainer: Trainer, loader: Any, seen: Seen) -> Watch:
    """Call ``seen`` with every batch, (rows, T), that this process draws for a loader of DeepSpeed's Ulysses.

    Such a loader draws a batch on each process of a group and gives them out one after the other, each of them cut
    among all: the batch of the process with number r is trained on in the step r of as many as there are processes.

    Args:
        trainer: The host.
        loader: ``UlyssesSPDataLoaderAdapter``, from which nothing was drawn yet.
        seen: Called with token ids when the next batch comes, as by ``watch_batches``.

    Returns:
        As ``watch_batches``.
    """
    drawn: deque[Any] = deque()
    base, step = loader.dl, 0
    loader.dl = _Drawn(base, drawn)
    loader.iter = iter(loader.dl)

    def own_batch(inputs: Any) -> Any:
        nonlocal step
        step += 1
        return drawn.popleft() if (step - 1) % loader.sp_world_size == loader.sp_rank else None

    drain, stop_steps = _watch_steps(trainer, seen, own_batch)

    def stop() -> None:
        stop_steps()
        loader.dl = base

    return drain, stop


class _Drawn:
    """A loader whose batches are noted as they are drawn."""

    def __init__(self, loader: Any, drawn: deque[Any]) -> None:
        self._loader, self._ids = loader, drawn

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader:
            self._ids.append(batch["input_ids"])
            yield batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _watch_steps(trainer: Trainer, seen: Seen, ids_of: Callable[[Any], Any]) -> Watch:
    """Call ``seen`` with what ``ids_of`` gives for the inputs of every training step, unless that is None."""
    waiting: list[HostCopy] = []
    training_step = trainer.training_step

    def drain() -> None:
        while waiting:
            seen(waiting.pop(0).numpy())

    def watched(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        drain()
        ids = ids_of(inputs)
        if ids is not None:
            waiting.append(HostCopy(ids))
        return training_step(model, inputs, *args, **kwargs)

    def stop() -> None:
        drain()
        del trainer.__dict__["training_step"]

    trainer.training_step = watched  # type: ignore[method-assign]
    return drain, stop
