"""Exact log-probabilities of options in few forward passes, and the answers they give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kis_plugin.hashing import IntArray
from kis_plugin.retention.protocols import Answers
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.scoring.batch_plan import BATCH_TOKENS
from kis_plugin.retention.scoring.batch_rows import why_no_trees
from kis_plugin.retention.scoring.forward_passes import ForwardPasses
from kis_plugin.retention.scoring.prepare import PreparedQuestions, Scores, prepare
from kis_plugin.run.model_view import ModelView
from kis_plugin.run.ranks import Ranks
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["Scorer", "no_progress", "score"]


def no_progress(part: float) -> None:
    """Show no progress."""


class Scorer:
    """Scores the same questions again and again, in the same passes.

    Args:
        prepared: The questions.
        batch_tokens: Tokens of one pass, padding included; a single row may be longer.
        sequence_length: The longest row that the model takes; rows are not padded beyond.
        trees: Whether to fold rows into prefix trees where the model takes them.

    Attributes:
        without_trees: Why rows are scored one by one; empty where they are folded, and before the first score.
    """

    notes: Sequence[str] = ()
    open_ended = False

    def __init__(
        self,
        prepared: PreparedQuestions,
        batch_tokens: int = BATCH_TOKENS,
        sequence_length: int | None = None,
        trees: bool = True,
    ) -> None:
        self._prepared = prepared
        self._batch_tokens, self._sequence_length, self._trees = batch_tokens, sequence_length, trees
        self._passes: ForwardPasses | None = None
        self.without_trees = ""

    @property
    def lengths(self) -> IntArray:
        """Tokens of each question's longest option, EOS before it included: (questions,)."""
        return self._prepared.lengths

    @property
    def shapes(self) -> Mapping[tuple[int, int, int], int]:
        """How many passes have each shape (rows, tokens, logits a row); empty before the first score."""
        return Counter(one.shape for one in self._passes.plan) if self._passes else {}

    def score(
        self, model: ModelView, ranks: Ranks | None = None, progress: Callable[[float], None] = no_progress
    ) -> Scores:
        """Run the model: over prefix trees if it takes them, else over plain rows.

        Whether trees are exact may depend on the model's weights, so it is tried at every score.

        Args:
            model: In evaluation mode; the same at every score.
            ranks: Those that share the work; every rank must call this, and all get the same.
            progress: Called after every pass with the fraction of the work that is done.
        """
        ranks, rows = ranks or Ranks(), self._prepared.plain_rows
        if not self.without_trees:
            self.without_trees = why_no_trees(model, rows, ranks) if self._trees else "they were not requested"
            if self.without_trees:
                self._passes = ForwardPasses(rows, self._batch_tokens, self._sequence_length)
        if self._passes is None:
            self._passes = ForwardPasses(self._prepared.tree_rows(self._sequence_length), self._batch_tokens)
        return self._prepared.scored(self._passes.logprobs(model, ranks, progress))

    def answer(self, model: ModelView, ranks: Ranks | None, progress: Callable[[float], None]) -> Answers:
        """Score all questions and compare the right option of each with the others."""
        scores = self.score(model, ranks, progress)
        right = scores.logprobs[np.arange(len(scores.answers)), scores.answers]  # (questions,) nats
        return Answers(
            correct=scores.correct,
            margin=scores.margin,
            bits_per_byte=-right / np.log(2) / np.maximum(self._prepared.bytes, 1),
            chance=1 / self._prepared.counts,
            finite=scores.finite,
        )


def score(
    questions: Sequence[Question], tokenizer: TextTokenizer, model: ModelView, batch_tokens: int = BATCH_TOKENS
) -> Scores:
    """Return the log-probability of every option of every question.

    Args:
        questions: One row of the result each.
        tokenizer: The run's own.
        model: In evaluation mode.
        batch_tokens: Tokens of one pass, padding included.
    """
    return Scorer(prepare(questions, tokenizer), batch_tokens).score(model)
