"""Which of the evaluation losses that a framework logs is general loss, where a run has several evaluation sets."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kis_plugin.run.log import GENERAL

__all__ = ["general_loss_key"]

# eval_loss, eval_wiki_loss, eval/loss, eval/wiki_loss, val_loss, val/loss/dataloader_idx_0.
_NAME = re.compile(
    r"(?P<prefix>eval|val|valid|validation)[_/](?:(?P<set>.+)[_/])?loss(?:/(?P<number>.+))?",
    re.DOTALL,  # with it a name of any length is matched or not in one pass
)
_OF_KIS = ("retention/general_loss", "train/retention/general_loss")


def general_loss_key(keys: Iterable[str], named: str | None = None) -> tuple[str | None, tuple[str, ...]]:
    """Return the key of general loss among those of a log, and the evaluation sets among which it is unclear.

    Args:
        keys: Names of scalars or columns.
        named: The evaluation set that is general text, with or without the framework's prefix; None for the only one,
            else the loss that KIS measured itself.

    Returns:
        None for no loss; and no names where it is clear.
    """
    of_sets: dict[str, str] = {}
    of_kis: str | None = None
    for key in keys:
        found = _NAME.fullmatch(key)
        if key in _OF_KIS:
            of_kis = key
        elif found is not None and "retention" not in key:
            of_sets[_set_name(found)] = key
    if named is not None:
        wanted = (named, *(f"{prefix}_{named}" for prefix in ("eval", "val", "valid", "validation")))
        exact = next((of_sets[name] for name in wanted if name in of_sets), None)
        if exact is None and named == GENERAL:
            exact = of_kis
        every = {*of_sets, *([GENERAL] if of_kis else [])}
        return (exact, ()) if exact is not None else (None, tuple(sorted(every)))
    if len(of_sets) > 1:
        return None, tuple(sorted(of_sets))
    return next(iter(of_sets.values()), of_kis), ()


def _set_name(found: re.Match[str]) -> str:
    """Return what run logs call the evaluation set: ``eval``, or ``eval_wiki`` of several."""
    parts = (found["prefix"], found["set"], found["number"])
    return "_".join(part for part in parts if part)
