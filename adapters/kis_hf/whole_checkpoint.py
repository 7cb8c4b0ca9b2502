"""Checkpoints that cannot be resumed from are refused before the Trainer loads them, by name.

Those are what a kill left torn, and those of ZeRO that another number of processes saved.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, get_last_checkpoint

from kis_plugin.errors import KISError, Problem
from kis_torch.whole_files import damage_of_checkpoint

__all__ = ["refuse_torn", "refuse_torn_for", "refuse_zero_of_other_ranks"]

_LOOKS = "_kis_looks_before_loading"


def refuse_torn_for(callback: type[TrainerCallback]) -> None:
    """Let ``train(resume_from_checkpoint=...)`` of every Trainer with such a callback look at the checkpoint first.

    No event comes before the Trainer loads a checkpoint, none at all comes with ``add_callback``, and what the loaders
    of its files say of a torn one neither names the file nor says what to do. A Trainer without one trains as before.
    """
    train = Trainer.train
    if getattr(train, _LOOKS, None) is not None:
        return

    @functools.wraps(train)
    def looking(trainer: Trainer, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(one, callback) for one in trainer.callback_handler.callbacks):
            refuse_torn(resume_from_checkpoint, Path(str(trainer.args.output_dir)))
            refuse_zero_of_other_ranks(resume_from_checkpoint, trainer.args)
        return train(trainer, resume_from_checkpoint, *args, **kwargs)

    setattr(looking, _LOOKS, callback)
    Trainer.train = looking  # type: ignore[assignment, method-assign]


def refuse_torn(resumed: Any, output: Path) -> None:
    """Refuse a checkpoint whose files are not whole.

    Args:
        resumed: ``resume_from_checkpoint`` as ``Trainer.train`` takes it: a folder, True for the newest, or nothing.
        output: The Trainer's ``output_dir``.

    Raises:
        KISError: A file of it is missing, empty or cut; the newest whole checkpoint before it is named.
    """
    folder = _folder(resumed, output)
    if folder is None or not (damage := damage_of_checkpoint(folder, TRAINER_STATE_NAME)):
        return
    before = next((path for path in _earlier(folder) if not damage_of_checkpoint(path, TRAINER_STATE_NAME)), None)
    hint = (
        "No checkpoint before it is whole: begin again, without resume_from_checkpoint."
        if before is None
        else f"{before} is whole: give it as resume_from_checkpoint, or remove the damaged one."
    )
    raise KISError(Problem(f"resume_from_checkpoint {folder}", damage, "a whole checkpoint", hint))


def refuse_zero_of_other_ranks(resumed: Any, args: TrainingArguments) -> None:
    """Refuse a checkpoint of DeepSpeed's ZeRO that was saved by more or fewer processes than are to load it.

    DeepSpeed cannot load one, and its ZeRO 3 ends in an assertion without a word where processes are more. Universal
    and elastic checkpoints can be loaded by any number.

    Args:
        resumed: As for ``refuse_torn``.
        args: The Trainer's.

    Raises:
        KISError: The numbers of processes differ.
    """
    config: Any = getattr(args, "hf_deepspeed_config", None)
    folder = _folder(resumed, Path(str(args.output_dir)))
    if config is None or folder is None or config.is_true("checkpoint.load_universal"):
        return
    if config.is_true("zero_optimization.elastic_checkpoint"):
        return
    saved = {match.groups() for path in _zero_files(folder) if (match := _ZERO_FILE.fullmatch(path.name))}
    if {model for _, model in saved} != {"00"} or len(saved) == args.world_size:
        return  # no such checkpoint; one of a model that is split otherwise too; or as many processes
    found = f"a ZeRO checkpoint of {len(saved)} process{'es' * (len(saved) > 1)}, on {args.world_size}"
    hint = (
        "DeepSpeed loads it at the world size it was saved at. Its ds_to_universal.py makes a checkpoint for any other."
    )
    raise KISError(Problem(f"resume_from_checkpoint {folder}", found, "the same number of processes", hint))


_ZERO_FILE = re.compile(r"(?:bf16_|fp16_)?zero_pp_rank_(\d+)_mp_rank_(\d+)_optim_states\.pt")


def _zero_files(folder: Path) -> list[Path]:
    """Return the files of the state that ``latest`` names, in which each process saved its part."""
    latest = folder / "latest"
    name = latest.read_text("utf-8", "replace").strip() if latest.is_file() else ""
    return list((folder / Path(name).name).glob("*_optim_states.pt")) if name else []


def _folder(resumed: Any, output: Path) -> Path | None:
    """Return the folder that the Trainer is to load; None where there is none, which it says itself."""
    newest: Any = None
    if resumed is True and output.is_dir():
        newest = get_last_checkpoint(str(output))  # type: ignore[no-untyped-call]
    named = newest if resumed is True else resumed
    is_path = isinstance(named, (str, os.PathLike)) and bool(named)
    return Path(named) if is_path and Path(named).is_dir() else None


def _earlier(folder: Path) -> list[Path]:
    """Return the checkpoints beside one that have fewer steps, the newest first."""
    steps = {_step(path): path for path in folder.absolute().parent.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.is_dir()}
    return [steps[step] for step in sorted(steps, reverse=True) if 0 <= step < max(_step(folder), 0)]


def _step(path: Path) -> int:
    number = path.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-")
    return int(number) if number.isdecimal() else -1
