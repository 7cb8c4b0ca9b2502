"""Batches before context parallelism cuts their rows: the model is given a part of each row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import Trainer

from kis_torch.watch import HostCopy

__all__ = ["cuts_rows", "watch_whole_batches"]


def cuts_rows(trainer: Trainer) -> bool:
    """Return whether the model is given a part of each row of the batches that a training step is given."""
    return int(trainer.get_cp_size() or 1) > 1


def watch_whole_batches(
    trainer: Trainer, seen: Callable[[npt.NDArray[np.int64]], None]
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Call ``seen`` with every batch, (rows, T), that a Trainer's ``training_step`` is given.

    Context parallelism cuts the rows of a batch inside of that, in place: the model is given a part of each row.

    Args:
        trainer: The host.
        seen: Called with token ids when the next batch comes, as by ``watch_batches``.

    Returns:
        As ``watch_batches``.
    """
    waiting: list[HostCopy] = []
    step = trainer.training_step

    def drain() -> None:
        while waiting:
            seen(waiting.pop(0).numpy())

    def training_step(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        drain()
        waiting.append(HostCopy(inputs["input_ids"]))
        return step(model, inputs, *args, **kwargs)

    def stop() -> None:
        drain()
        del trainer.__dict__["training_step"]

    trainer.training_step = training_step  # type: ignore[method-assign]
    return drain, stop
