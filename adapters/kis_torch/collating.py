"""What a loader's collator makes of rows of different lengths: it pads them, or it cannot join them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from kis_plugin.errors import KISError, Problem

__all__ = ["CheckedCollator", "collator_name", "refuse_unpadded", "same_random_state"]

_HINT = (
    "Give a collator that pads, such as transformers' DataCollatorWithPadding or DataCollatorForSeq2Seq, or "
    "concatenate the texts and cut them into rows of one length, as transformers' run_clm.py does."
)


class CheckedCollator:
    """A host's collator; what it cannot join is named where rows differ in length.

    Args:
        collate: The host's own.
        where: What errors call the collator.

    Raises:
        KISError: When called, an error of the collator's own with rows of different lengths.
    """

    def __init__(self, collate: Callable[[Any], Any], where: str) -> None:
        self.collate, self.where = collate, where

    def __call__(self, examples: Any) -> Any:
        """Return the batch of some examples."""
        try:
            return self.collate(examples)
        except (ValueError, RuntimeError, TypeError, IndexError) as error:
            lengths = _lengths(examples)
            if len(set(lengths)) < 2:
                raise
            raise KISError(self._problem(lengths, error)) from error

    def __getattr__(self, name: str) -> Any:
        """Answer as the host's collator would."""
        if name == "collate":  # while unpickling
            raise AttributeError(name)
        return getattr(self.collate, name)

    def _problem(self, lengths: Sequence[int], error: Exception) -> Problem:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        found = f"{collator_name(self.collate)}, which cannot join rows of {min(lengths)} to {max(lengths)} tokens"
        return Problem(self.where, f"{found}: {reason}", "one that pads them, or rows of one length", _HINT)


def refuse_unpadded(collate: Callable[[Any], Any], examples: Sequence[Any], where: str) -> None:
    """Try a collator on examples of different lengths, as training will; random states stay as they are.

    Raises:
        KISError: It cannot join them.
    """
    with same_random_state():
        CheckedCollator(collate, where)(list(examples))


@contextmanager
def same_random_state() -> Iterator[None]:
    """Leave the random states of Python, numpy and torch as they were: what is looked at beforehand must not show."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


def collator_name(collate: Any) -> str:
    """Return what a user calls a collator: that inside the one by which a Trainer removes columns."""
    collate = getattr(collate, "data_collator", collate)
    return getattr(collate, "__name__", type(collate).__name__)


def _lengths(examples: Any) -> list[int]:
    """Return the tokens of each example, as far as it has any."""
    if not isinstance(examples, Sequence):
        return []
    ids: list[Any] = [one.get("input_ids") if isinstance(one, Mapping) else one for one in examples]
    return [len(one) for one in ids if one is not None and np.ndim(one) == 1]
