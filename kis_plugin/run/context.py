"""One training run, as its host describes it before the first step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kis_plugin.config.schema import Config
from kis_plugin.hashing import IntArray
from kis_plugin.run.log import Record
from kis_plugin.tokenized.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from kis_plugin.retention.results import Outcomes
from kis_plugin.run.model_view import ModelView
from kis_plugin.run.ranks import Ranks, _alone

__all__ = ["Shown", "TrainingRun"]


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


def _nowhere(records: Sequence[Record]) -> None:
    """Publish nothing: what a run has before its session starts."""


def _unheard(step: int, outcomes: Outcomes) -> None:
    """Act on nothing: what a run does before its session starts."""


def _untold() -> None:
    """Know nothing of facts: what a run does before its session starts."""


def _unshown() -> None:
    """Know nothing of what was infused: what a run does before its session starts."""


def _uneased(keep: float) -> None:
    """Infuse as planned: what a run does before its session starts."""


def _unstopped(reason: str) -> None:
    """Go on: what a run does before its session starts."""


@dataclass(frozen=True)
class Shown:
    """What was infused so far, over all ranks and from the beginning of the run.

    Attributes:
        exposures: (facts,) of each fact of the knowledge.
        tokens: Infused tokens.
    """

    exposures: IntArray
    tokens: int


@dataclass(frozen=True)
class TrainingRun:
    """One run as its host describes it before the first step.

    Attributes:
        rows: Rows (sequences) that the model trains on in the whole run, over all ranks and epochs.
        sequence_length: Tokens a row, T.
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
    sequence_length: int
    steps: int
    start_step: int = 0
    rank: int = 0
    world_size: int = 1
    versions: Mapping[str, str] = field(default_factory=dict)
    narrate: Callable[[str], None] = _to_stderr
    """Tells the user something that is no result; stderr unless the host has better."""
    publish: Callable[[Sequence[Record]], None] = _nowhere
    """Takes records to every place that metrics go to; set by the session."""
    told: Callable[[], IntArray | None] = _untold
    """Returns the places in the knowledge's facts of those that the run tells, once the run has started; set by the
    session."""
    shown: Callable[[], Shown | None] = _unshown
    """Returns what was infused so far; every rank calls it, and rank 0 is told, or None if counts from before a resume
    are lost. Set by the session."""
    tell_outcomes: Callable[[int, Outcomes], None] = _unheard
    """Takes what came of the evaluation at a step to whoever acts on it; set by the session."""
    ease: Callable[[float], None] = _uneased
    """Infuses only this part of what is left, from the first row on that no loader has drawn; 0 stops infusing. Called
    at the end of a step, by every rank alike; set by the session."""
    stop: Callable[[str], None] = _unstopped
    """Ends training after this step, for a reason; called at the end of a step, by every rank alike; set by the
    session."""
    sum_over_ranks: Callable[[IntArray], IntArray] = _alone
    """Sums an array over ranks; every rank calls it."""

    @property
    def ranks(self) -> Ranks:
        """The processes of this run."""
        return Ranks(self.rank, self.world_size, self.sum_over_ranks)

    @property
    def tokens(self) -> int:
        """Token budget D."""
        return self.rows * self.sequence_length

    def tokens_at(self, step: int) -> int:
        """Return training tokens seen after ``step`` optimizer steps."""
        return self.tokens * step // max(self.steps, 1)
