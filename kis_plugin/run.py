"""What a host tells about one training run, and the plugins that take part in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from kis_plugin.config import Config
from kis_plugin.runlog import Record
from kis_plugin.seeded import IntArray
from kis_plugin.sentences import TextTokenizer

if TYPE_CHECKING:
    import torch

    from kis_plugin.probing.outcomes import Outcomes

__all__ = ["Infuser", "ModelView", "Piece", "Placed", "Ranks", "Shown", "TrainingRun", "TreeView"]


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


@runtime_checkable
class TreeView(ModelView, Protocol):
    """A model that can be shown trees of tokens too: lines whose tokens see some of the others only.

    What it gives is tried against ``logits`` before it is relied on.
    """

    def tree_logits(
        self, input_ids: torch.Tensor, positions: torch.Tensor, sees: torch.Tensor, last: int
    ) -> torch.Tensor:  # (B, T), (B, T), (B, T, T) bool -> (B, last, V)
        """Return next-token logits of the last tokens of each line, where ``sees[b, i, j]`` says that i sees j."""

    def refuses_trees(self, longest: int) -> str:
        """Return why it cannot be shown trees of rows of up to ``longest`` tokens; empty if that may be tried."""


class Piece(NamedTuple):
    """A stretch of an infused row: tokens ``first`` to ``stop`` (not included) of what is told, or of the base row."""

    told: bool
    first: int
    stop: int


@dataclass(frozen=True)
class Placed:
    """One infused row of T tokens.

    Attributes:
        tokens: (told,) ids of the infused tokens.
        lengths: Tokens of each text among them.
        pieces: What the row is made of, from its start; T tokens together.
        targets: (told,) False for infused tokens that are no training targets; None if all are.
    """

    tokens: npt.NDArray[np.int32]
    lengths: tuple[int, ...]
    pieces: tuple[Piece, ...]
    targets: npt.NDArray[np.bool_] | None = None

    def joined(self, told: npt.NDArray[Any], base: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a column of the row, (T,), from its values over what is told, (told,), and over the base row, (T,)."""
        return np.concatenate([(told if piece.told else base)[piece.first : piece.stop] for piece in self.pieces])

    def ahead(self, base: npt.NDArray[Any], eos: int) -> npt.NDArray[Any]:
        """Return the infused row of inputs and targets in one, (T + 1,), from the base's; placed on its last T tokens.

        The first token is no target. A text at the row's start has EOS before it, so that all of it is one; base text
        that stands there keeps its own first token.
        """
        begins = self.pieces[0].told
        row = self.joined(self.tokens, base[:-1] if begins else base[1:])
        return np.concatenate([[eos if begins else base[0]], row])


class Infuser(Protocol):
    """Rewrites the rows of the data. Must pickle: it goes to the loader's worker processes."""

    def infused(self, row: int) -> bool:
        """Return whether anything is infused into global row ``row`` of the run."""

    def place(self, row: int, base: npt.NDArray[np.integer]) -> Placed | None:
        """Return how global row ``row`` of the run is infused, or None for a row of base text.

        Args:
            row: Counted over all ranks and epochs, in the order of consumption.
            base: (T,) token ids of the base row that is to be trained on there.
        """

    def drawing(self, stop: int) -> None:
        """Note that rows of the run before ``stop`` are in the making, where ``kis_rows_drawn`` tells of them too late.

        Called in a loader's worker before it makes a batch. Whoever changes rows later leaves these as they are.
        """


@dataclass(frozen=True)
class Ranks:
    """The processes that train one model together.

    Attributes:
        rank: Which of them this is.
        size: How many there are.
        sum: Sums an array over them; every rank calls it.
    """

    rank: int = 0
    size: int = 1
    sum: Callable[[IntArray], IntArray] = _alone

    def greatest(self, number: int) -> int:
        """Return the greatest of the numbers that ranks call this with; every rank calls it."""
        numbers = np.zeros(self.size, dtype=np.int64)
        numbers[self.rank] = number
        return int(self.sum(numbers).max())


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
        return self.rows * self.block

    def tokens_at(self, step: int) -> int:
        """Return training tokens seen after ``step`` optimizer steps."""
        return self.tokens * step // max(self.steps, 1)
