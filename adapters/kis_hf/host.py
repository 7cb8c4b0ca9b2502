"""The Trainer behind a callback: transformers passes callbacks everything but the Trainer itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from types import FrameType

from transformers import Trainer, TrainerCallback

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.ranks import Ranks
from kis_torch.host_log import HostLog, add_chart
from kis_torch.ranks import sum_over_ranks

__all__ = ["log_of", "ranks_of", "refuse_parallel", "sharing", "trainer_of"]

_GROUP = "train/"
"""What the Trainer puts before names that it does not know, in TensorBoard and W&B."""


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


def log_of(trainer: Trainer) -> HostLog:
    """Return the Trainer's own log: W&B, TensorBoard, the progress bar and ``log_history`` get what goes there."""
    charted = False

    def log(step: int, metrics: Mapping[str, float]) -> None:
        nonlocal charted
        due = trainer.control.should_log  # which logging clears: the training loss of this step must not be lost
        trainer.log(dict(metrics))
        trainer.control.should_log = due
        if not charted:  # TensorBoard's writer is there from the first log on, and takes one layout
            charted = True
            callbacks = trainer.callback_handler.callbacks
            add_chart([getattr(callback, "tb_writer", None) for callback in callbacks], metrics, _GROUP)

    return HostLog(log)


def sharing(trainer: Trainer) -> int:
    """Return how many processes are given the same batch: those that split a model, or the tokens of its rows.

    Under sequence parallelism each process draws batches of its own, which all of its group then train on.
    """
    return int(trainer.get_tp_size() or 1) * int(trainer.get_cp_size() or 1)


def ranks_of(trainer: Trainer) -> Ranks:
    """Return the Trainer's processes; those that share batches have one data rank. Every process calls it."""
    args, group = trainer.args, sharing(trainer)
    reduce = partial(sum_over_ranks, device=args.device)
    if group == 1:
        return Ranks(args.process_index, args.world_size, reduce)
    # Meshes of accelerate have the data-parallel dimensions outermost: neighbours share a batch.
    data_rank, data_size = args.process_index // group, args.world_size // group
    return Ranks.sharing(args.process_index, args.world_size, reduce, data_rank, data_size)


def refuse_parallel(trainer: Trainer) -> None:
    """Refuse to split the tokens of a row among ranks: each of them is given a part of it.

    Raises:
        KISError: Context or sequence parallelism; tensor parallelism that the processes do not add up to.
    """
    kinds = {"context": trainer.get_cp_size(), "sequence": trainer.get_sp_size()}
    problems = [
        Problem(
            "parallelism_config",
            f"{kind} parallelism over {size} processes",
            "data and tensor parallelism alone",
            "A process is given a part of each row there, which no machine with GPUs has tested yet.",
        )
        for kind, size in kinds.items()
        if size and size > 1
    ]
    if problems:
        raise KISError(problems)
    group, processes = sharing(trainer), trainer.args.world_size
    if processes % group:
        found = f"tensor parallelism over {group} processes, in a run of {processes}"
        hint = f"Start the script with torchrun --nproc-per-node {group}, or leave tensor parallelism out."
        raise KISError(Problem("parallelism_config", found, f"a multiple of {group} processes", hint))
