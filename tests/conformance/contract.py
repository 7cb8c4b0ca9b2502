"""What a row of the table can do, and a count of exposures that trusts no code of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from tests.world import facts

BATCH, SEQUENCE_LENGTH, ROWS = 4, 64, 80


@dataclass
class Outcome:
    """What came of one run.

    Attributes:
        batches: Every batch that a loss was taken of, (B, T).
        weights: The model's, where the run went to its end.
        end_again: Tells the adapter once more that the run is over.
    """

    batches: list[np.ndarray]
    weights: list[torch.Tensor]
    end_again: Callable[[], None] = lambda: None


class Adapter(Protocol):
    """One row of the table: trains a small model on 80 rows of 64 tokens, 4 a batch, one batch a step."""

    finds_any_pass: bool
    """Whether the host goes on where it was in any pass over the data, not in the first alone."""

    def run(
        self,
        folder: Path,
        config: dict[str, Any] | None,
        steps: int = 20,
        stop: int = 0,
        resume: bool = False,
        big: bool = False,
    ) -> Outcome:
        """Train in ``folder``, or go on there.

        Args:
            folder: Checkpoints go here.
            config: Of KIS; None trains without it.
            steps: Of the whole run; retention is measured at its start, middle and end.
            stop: Ends the run after this step, with a checkpoint: the host's own kill.
            resume: Goes on from that checkpoint.
            big: A model that can learn the facts.
        """

    def decode(self, folder: Path, row: np.ndarray) -> str:
        """Return the text of a row, ``<eos>`` where texts end."""


def shown(adapter: Adapter, folder: Path, batches: list[np.ndarray], config: dict[str, Any]) -> dict[str, int]:
    """How often each infused fact stands in the batches, and each control's name: by plain search in text."""
    text = [adapter.decode(folder, row) for batch in batches for row in batch]
    return facts.shown(text, config) | facts.controls_shown(text, config)
