"""What a host tells about one training run, and the plugins that take part in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from kis_plugin.config import Config
from kis_plugin.runlog import Record
from kis_plugin.seeded import IntArray
from kis_plugin.sentences import TextTokenizer

if TYPE_CHECKING:
    import torch

__all__ = ["Infuser", "ModelView", "TrainingRun"]


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


def _nowhere(records: Sequence[Record]) -> None:
    """Publish nothing: what a run has before its session starts."""


def _alone(array: IntArray) -> IntArray:
    return array


class ModelView(Protocol):
    """The model as probes see it. Adapters make one; its ``logits`` is the only way in."""

    def logits(self, input_ids: torch.Tensor) -> torch.Tensor:  # (B, T) -> (B, T, V)
        """Return next-token logits for rows padded on the right, in evaluation mode, without gradients.

        Called with CPU int64 ids; may return logits on any device and in any float dtype. The adapter keeps the
        training dtype and autocast. Causal models need no attention mask for right padding.
        """

    def evaluating(self) -> Any:
        """Return a context manager that puts the model into evaluation mode and restores mode and RNG state after."""


class Infuser(Protocol):
    """Says what rows begin with. Must pickle: it goes to the loader's worker processes."""

    def head(self, row: int) -> npt.NDArray[np.int32] | None:
        """Return the tokens that global row ``row`` of the run begins with, or None for a row of base text.

        At most T of them; the adapter fills the rest of the row with the start of the base text.
        """


@dataclass(frozen=True)
class TrainingRun:
    """One run as its host describes it before the first step.

    Attributes:
        rows: Rows (sequences) that the model trains on in the whole run, over all ranks and epochs.
        block: Tokens a row, T.
        steps: Optimizer steps of the whole run.
        start_step: Steps done before, when resumed.
    """

    config: Config
    tokenizer: TextTokenizer
    model: ModelView
    framework: str
    run_id: str
    folder: Path
    params: int
    params_non_embedding: int
    rows: int
    block: int
    steps: int
    start_step: int = 0
    rank: int = 0
    world_size: int = 1
    versions: Mapping[str, str] = field(default_factory=dict)
    narrate: Callable[[str], None] = _to_stderr
    """Tells the user something that is no result; stderr unless the host has better."""
    publish: Callable[[Sequence[Record]], None] = _nowhere
    """Takes records to every place that metrics go to; set by the session."""
    sum_over_ranks: Callable[[IntArray], IntArray] = _alone
    """Sums an array over ranks; every rank calls it."""

    @property
    def tokens(self) -> int:
        """Token budget D."""
        return self.rows * self.block

    def tokens_at(self, step: int) -> int:
        """Return training tokens seen after ``step`` optimizer steps."""
        return self.tokens * step // max(self.steps, 1)
