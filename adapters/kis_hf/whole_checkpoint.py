"""A checkpoint that a kill left torn is refused before the Trainer loads it, with the name of the one before."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, get_last_checkpoint

from kis_plugin.errors import KISError, Problem
from kis_torch.whole_files import damage_of_checkpoint

__all__ = ["refuse_torn", "refuse_torn_for"]

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
    newest: Any = None
    if resumed is True and output.is_dir():
        newest = get_last_checkpoint(str(output))  # type: ignore[no-untyped-call]
    named = newest if resumed is True else resumed
    if not named or not isinstance(named, (str, os.PathLike)) or not Path(named).is_dir():
        return  # the Trainer says so itself
    folder = Path(named)
    if not (damage := damage_of_checkpoint(folder, TRAINER_STATE_NAME)):
        return
    before = next((path for path in _earlier(folder) if not damage_of_checkpoint(path, TRAINER_STATE_NAME)), None)
    hint = (
        "No checkpoint before it is whole: begin again, without resume_from_checkpoint."
        if before is None
        else f"{before} is whole: give it as resume_from_checkpoint, or remove the damaged one."
    )
    raise KISError(Problem(f"resume_from_checkpoint {folder}", damage, "a whole checkpoint", hint))


def _earlier(folder: Path) -> list[Path]:
    """Return the checkpoints beside one that have fewer steps, the newest first."""
    steps = {_step(path): path for path in folder.absolute().parent.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if path.is_dir()}
    return [steps[step] for step in sorted(steps, reverse=True) if 0 <= step < max(_step(folder), 0)]


def _step(path: Path) -> int:
    number = path.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-")
    return int(number) if number.isdecimal() else -1
