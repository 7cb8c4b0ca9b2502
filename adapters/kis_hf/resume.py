"""What a checkpoint of a Trainer must still fit, for a resumed run to show every row once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback, TrainerState

from kis_hf.epochs import Position
from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import to_stderr
from kis_torch.resume import changed_numbers

__all__ = ["kept_by_kis", "refuse_other_numbers", "refuse_other_place"]


def kept_by_kis(callback: TrainerCallback, state: TrainerState) -> Mapping[str, Any] | None:
    """Return what KIS left in the checkpoint that the Trainer resumes from; None for a run from its beginning.

    None too for a checkpoint without KIS: the session says what is wrong with that.
    """
    if not state.global_step:
        return None
    callbacks: Any = state.stateful_callbacks
    saved: Any = callbacks.get(type(callback).__name__) or {}
    kept: Mapping[str, Any] | None = (
        (saved[-1] if isinstance(saved, list) else saved).get("attributes", {}).get("restored_state")
    )
    return kept


def refuse_other_numbers(
    step: int, numbers: Mapping[str, int], resumed: Mapping[str, Any], repeats: bool = False
) -> None:
    """Refuse a resume with other numbers of rows, or one that ``repeats`` those of the epoch.

    Raises:
        KISError: The Trainer would skip or repeat rows.
    """
    problems = []
    if repeats:
        expected = "False: with it the epoch's rows start over and facts are shown too often"
        problems.append(Problem(f"resume at step {step}: ignore_data_skip", "True", expected))
    hint = (
        "The Trainer skips by batches: with {now}, rows would be lost or repeated. Keep the data, and batch size x "
        "accumulation x processes."
    )
    problems += changed_numbers(step, numbers, resumed["host"], hint)
    if problems:
        raise KISError(problems)


def refuse_other_place(step: int, before: Position, now: Position, config: Config, rank: int) -> None:
    """Refuse a resume in which the Trainer continues elsewhere in the data than where the run stood.

    Facts are counted by what was trained on and stay exact. Base text is repeated or left out.

    Raises:
        KISError: ``on_mismatch`` is ``error``.
    """
    hint = (
        "The Trainer finds its place from the number of steps alone: it skips one epoch at most of data without a "
        "length, and none with ignore_data_skip; base text would be repeated or never trained on. Give the dataset "
        "the __len__ of an epoch, or continue with on_mismatch: warn; counts of facts stay exact."
    )
    problem = Problem(f"resume at step {step}: train_dataset", _place(now), _place(before), hint)
    if config.on_mismatch == "error":
        raise KISError(problem)
    if rank == 0:
        to_stderr(f"kis: warning: on_mismatch is warn, and the data continues elsewhere: {problem}")


def _place(position: Position) -> str:
    return f"batch {position.batches} of epoch {position.epoch + 1}"
