"""The protocols of probe kinds and of answer scorers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from kis_plugin.hashing import IntArray
    from kis_plugin.retention.questions.passages import PassageMaker
    from kis_plugin.retention.questions.question import Question
    from kis_plugin.retention.questions.question_maker import QuestionMaker
    from kis_plugin.run.model_view import ModelView
    from kis_plugin.run.ranks import Ranks
    from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = [
    "AnswerScorer", "Answers", "DeclaresBalance", "PassageProbeKind", "PreparedScorer", "ProbeKind", "is_balanced",
]  # fmt: skip


@runtime_checkable
class ProbeKind(Protocol):
    """Makes the questions of one series, selected by ``retention.probes.kinds: [<name>]``.

    Several series of one kind are called ``<name>/<suffix>``.
    """

    name: str

    def questions(self, maker: QuestionMaker) -> Sequence[Question]:
        """Return the questions about the facts that ``maker`` holds."""


@runtime_checkable
class DeclaresBalance(ProbeKind, Protocol):
    """A probe kind that says whether it uses the balanced option sets of ``maker.sets``.

    One that says False chooses its facts itself, such as from ``maker.candidates``.
    """

    balanced: bool


@runtime_checkable
class PassageProbeKind(ProbeKind, Protocol):
    """A probe kind that can probe documents too."""

    def passage_questions(self, maker: PassageMaker) -> Sequence[Question]:
        """Return the questions about the passages that ``maker`` holds; their facts are numbered from 0."""


def is_balanced(kind: ProbeKind) -> bool:
    """Return whether a probe kind uses the balanced option sets; it does unless it declares otherwise."""
    return kind.balanced if isinstance(kind, DeclaresBalance) else True


@dataclass(frozen=True)
class Answers:
    """What one evaluation found for the questions of one scorer.

    Attributes:
        correct: (questions,) whether the answer was right.
        margin: (questions,) nats, right option over best wrong one; NaN where there are no options.
        bits_per_byte: (questions,) of the right option's text; NaN where it was not scored.
        chance: (questions,) probability that a random answer is right.
        finite: (questions,) whether the logits behind the answer were numbers. One NaN or infinite logit marks the run
            as diverged.
        measures: Further values of each question, (questions,) each, by name. The run log gets their means.
    """

    correct: npt.NDArray[np.bool_]
    margin: npt.NDArray[np.float64]
    bits_per_byte: npt.NDArray[np.float64]
    chance: npt.NDArray[np.float64]
    finite: npt.NDArray[np.bool_]
    measures: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)


class PreparedScorer(Protocol):
    """Questions as the model sees them, ready to be evaluated again and again.

    Attributes:
        lengths: (questions,) tokens of the longest row of each question, its first token (EOS) included.
        notes: What the user should know before the first evaluation, one line each.
        without_trees: Why rows are not folded into prefix trees; empty where they are, and before the first evaluation.
        shapes: How many forward passes of an evaluation have each shape (rows, tokens, logits a row); known after the
            first one.
        open_ended: Whether an evaluation may take more passes than ``shapes`` says, depending on the answers.
    """

    notes: Sequence[str]
    open_ended: bool

    @property
    def lengths(self) -> IntArray:
        """See the class."""

    @property
    def without_trees(self) -> str:
        """See the class."""

    @property
    def shapes(self) -> Mapping[tuple[int, int, int], int]:
        """See the class."""

    def answer(self, model: ModelView, ranks: Ranks | None, progress: Callable[[float], None]) -> Answers:
        """Evaluate all questions.

        Args:
            model: In evaluation mode.
            ranks: Those that share the work; every rank calls this, and all get the same answers.
            progress: Called with the fraction of the work that is done.
        """


@runtime_checkable
class AnswerScorer(Protocol):
    """Evaluates the questions whose ``scorer`` is its name. Registered by ``kis_register_scorers``."""

    name: str

    def prepare(
        self, questions: Sequence[Question], tokenizer: TextTokenizer, sequence_length: int, batch_tokens: int
    ) -> PreparedScorer:
        """Tokenize questions.

        Args:
            questions: Those of this scorer.
            tokenizer: The run's own.
            sequence_length: The most tokens that the model sees at once.
            batch_tokens: Tokens of one forward pass, padding included; a single row may be longer.
        """

    def frequency_baseline(self, questions: Sequence[Question]) -> float | None:
        """Return the accuracy of answering by frequency alone, without the subject; None where it is not known."""
