"""The Trainer behind a callback: transformers hands callbacks everything but the Trainer itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.hook_markers import hookimpl
from kis_plugin.run.host_metrics import host_metrics
from kis_plugin.run.log import Record

__all__ = ["TrainerLog", "refuse_parallel", "same_on_all_ranks", "sum_over_ranks", "trainer_of"]


def trainer_of(callback: TrainerCallback) -> Trainer:
    """Return the Trainer that is calling ``callback`` right now.

    Metrics have to go through ``Trainer.log`` to reach every reporter, and no event passes the Trainer along; its
    training loop is a frame above this one.

    Raises:
        KISError: No Trainer on the stack: the events come from somewhere else.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, Trainer) and callback in caller.callback_handler.callbacks:
            return caller
        frame = frame.f_back
    hint = "Pass the callback to a Trainer; for a loop of your own use infuse()."
    raise KISError(Problem("KnowledgeInfusion", "events that come from no transformers.Trainer", "a Trainer", hint))


class TrainerLog:
    """Takes retention to the Trainer's own log, and so to W&B, TensorBoard, the progress bar and ``log_history``."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    @hookimpl
    def kis_metrics(self, records: Sequence[Record]) -> None:
        """Log retention series under ``retention/<series>``."""
        logs = host_metrics(records)
        if logs:
            control = self._trainer.control
            due = control.should_log  # which logging clears: the training loss of this step must not be lost
            self._trainer.log(logs)
            control.should_log = due


def sum_over_ranks(trainer: Trainer, array: IntArray) -> IntArray:
    """Sum an array over all ranks."""
    if trainer.accelerator.num_processes == 1:
        return array
    summed: Any = trainer.accelerator.reduce(torch.from_numpy(array).to(trainer.args.device), reduction="sum")
    return np.asarray(summed.cpu().numpy(), dtype=np.int64)


def same_on_all_ranks(trainer: Trainer, text: str) -> str:
    """Return rank 0's text on every rank."""
    if trainer.accelerator.num_processes == 1:
        return text
    texts = [text]
    torch.distributed.broadcast_object_list(texts)
    return texts[0]


def refuse_parallel(trainer: Trainer) -> None:
    """Refuse ways to share one batch among ranks: each rank would count rows of its own.

    Raises:
        KISError: Tensor, context or sequence parallelism.
    """
    kinds = {"tensor": trainer.get_tp_size(), "context": trainer.get_cp_size(), "sequence": trainer.get_sp_size()}
    problems = [
        Problem(
            "parallelism_config",
            f"{kind} parallelism over {size} processes",
            "data parallelism alone",
            "Processes that share a batch are not counted right yet.",
        )
        for kind, size in kinds.items()
        if size and size > 1
    ]
    if problems:
        raise KISError(problems)
