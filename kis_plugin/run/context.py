"""One training run: what its host describes before the first step, and what plugins can do to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.run.infuser import Infuser, Shown
from kis_plugin.run.log import Record, TrainingRecipe
from kis_plugin.run.model_view import ModelView
from kis_plugin.run.notice import above_bars
from kis_plugin.run.ranks import Ranks
from kis_plugin.run.row_lengths import RowLengths
from kis_plugin.tokenized.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from kis_plugin.knowledge.facts import Fact
    from kis_plugin.retention.results import Outcomes
    from kis_plugin.run.log import Retention

__all__ = ["RunSession", "TrainingRun"]


class RunSession(Protocol):
    """What a plugin can request from the session of its run."""

    @property
    def infuser(self) -> Infuser:
        """What infuses this run."""

    def shown(self) -> Shown | None:
        """Return what the model was shown so far.

        Every rank must call it. Rank 0 gets the answer, others None; rank 0 gets None too if counts from before a
        resume are lost.
        """

    def publish(self, records: Sequence[Record]) -> None:
        """Send records to every destination of metrics; only rank 0 does anything."""

    def extend_records(
        self, step: int, outcomes: Outcomes, facts_of: Callable[[str], Sequence[Fact]], records: list[Retention]
    ) -> None:
        """Let plugins add to the records of the evaluation at ``step`` (hook ``kis_retention_records``). Every rank."""

    def publish_outcomes(self, step: int, outcomes: Outcomes) -> None:
        """Pass on how each question of the evaluation at ``step`` was answered (hook ``kis_outcomes``). Every rank."""

    def throttle(self, keep: float) -> None:
        """Infuse only ``keep`` (0 to 1) of what is left, starting at rows that no loader has drawn; 0 stops infusing.

        Every rank must call it, at the end of a step and with the same number.
        """

    @property
    def diverged(self) -> str | None:
        """Why the run counts as diverged; None while it does not."""

    def mark_diverged(self, reason: str) -> None:
        """Note that logits or a loss are NaN or infinite: the run will end as ``diverged``. Every rank must call it."""

    def stop(self, reason: str) -> None:
        """End training after this step. Every rank must call it, at the end of a step."""


class _NotBegun:
    """Stands in for the session of a run that has none yet."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # copying and pickling look for methods that may be missing
            raise AttributeError(name)
        expected = "a call from kis_run_start on, on the run that the hook is given"
        raise KISError(Problem(f"run.session.{name}", "a run whose session has not begun", expected))


@dataclass(frozen=True)
class TrainingRun:
    """One run as its host describes it before the first step.

    Attributes:
        config: What is infused and measured.
        tokenizer: The run's.
        model: The model as probes see it.
        framework: The host's name in the run log: ``hf``, ``litgpt``, ``torch``.
        run_id: The run's name, that of its folder.
        folder: Where its log goes.
        params: Parameters of the whole model, N.
        params_non_embedding: Those that are neither embedding tables nor the output layer.
        rows: Rows (sequences) that the model trains on in the whole run, over all data ranks and epochs.
        sequence_length: Tokens a row, T; of the longest one where they differ.
        steps: Optimizer steps of the whole run.
        start_step: Steps done before, when resumed.
        ranks: The processes that train the model.
        versions: Of what the run was made with, by distribution.
        recipe: How the host trains, as far as it says so.
        row_lengths: The lengths of the base rows, where they differ; None: each has T tokens.
        base_tokens: (n,) distinct token ids of the base rows that were looked at before training; None if none were.
        evaluated_at: Steps after which the host needs retention, beside those of ``retention.every``.
        notify: Shows the user a line that is no result; on stderr unless the host has better.
        session: The running session; a run that the host describes has none yet.
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
    ranks: Ranks = field(default_factory=Ranks)
    versions: Mapping[str, str] = field(default_factory=dict)
    recipe: TrainingRecipe = field(default_factory=TrainingRecipe)
    row_lengths: RowLengths | None = None
    base_tokens: IntArray | None = field(default=None, repr=False, compare=False)
    evaluated_at: frozenset[int] = frozenset()
    notify: Callable[[str], None] = above_bars
    session: RunSession = field(default=cast("RunSession", _NotBegun()), repr=False, compare=False)

    @property
    def rank(self) -> int:
        """Which process this is; rank 0 writes."""
        return self.ranks.rank

    @property
    def tokens(self) -> int:
        """Token budget D; from the mean length of rows where they differ."""
        if self.row_lengths is not None:
            return round(self.rows * self.row_lengths.mean)
        return self.rows * self.sequence_length

    def tokens_at(self, step: int) -> int:
        """Return training tokens seen after ``step`` optimizer steps."""
        return self.tokens * step // max(self.steps, 1)

    def rows_at(self, step: int) -> int:
        """Return rows trained on after ``step`` optimizer steps."""
        return self.rows * step // max(self.steps, 1)
