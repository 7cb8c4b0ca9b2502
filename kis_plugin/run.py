"""What a host tells about one training run, and the plugins that take part in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kis_plugin.config import Config
from kis_plugin.sentences import TextTokenizer

if TYPE_CHECKING:
    import torch

__all__ = ["Infuser", "ModelView", "TrainingRun"]


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
    """Rewrites rows of the data. Must pickle: it goes to the loader's worker processes."""

    def example(self, row: int, base: Any) -> Any:
        """Return the example for global row ``row`` of the run, given the base one."""


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
    narrate: Callable[[str], None] = print

    @property
    def tokens(self) -> int:
        """Token budget D."""
        return self.rows * self.block

    def tokens_at(self, step: int) -> int:
        """Return training tokens seen after ``step`` optimizer steps."""
        return self.tokens * step // max(self.steps, 1)
