"""The scorer of free-form questions, as it is registered; torch is imported when questions are prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kis_plugin.free_form.matching import frequency_baseline
from kis_plugin.free_form.prompts import PreparedPrompts, prepare_prompts
from kis_plugin.hashing import IntArray
from kis_plugin.retention.protocols import Answers, PreparedScorer
from kis_plugin.retention.questions.question import FREE_FORM, Question
from kis_plugin.run.model_view import ModelView
from kis_plugin.run.ranks import Ranks
from kis_plugin.tokenized.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from kis_plugin.free_form.decoding import Decoder

__all__ = ["EXACT", "FreeFormScoring"]

EXACT = "exact"
"""The measure of a free-form answer: whether it was the object to the letter."""


@dataclass
class FreeFormScoring:
    """The model's answer is what greedy decoding generates."""

    name: str = FREE_FORM

    def prepare(
        self, questions: Sequence[Question], tokenizer: TextTokenizer, sequence_length: int, batch_tokens: int
    ) -> PreparedScorer:
        """Tokenize questions."""
        from kis_plugin.free_form.decoding import Decoder

        prepared = prepare_prompts(questions, tokenizer)
        return _Prepared(prepared, Decoder(prepared, sequence_length, batch_tokens))

    def frequency_baseline(self, questions: Sequence[Question]) -> float | None:
        """Return the accuracy of answering all questions of a relation with the name that is right most often."""
        return frequency_baseline(questions)


class _Prepared:
    """Free-form questions, ready to be evaluated."""

    open_ended = True

    def __init__(self, prepared: PreparedPrompts, decoder: Decoder) -> None:
        self._decoder = decoder
        self.lengths: IntArray = prepared.lengths
        unspellable = int((~prepared.spellable).sum())
        self.notes: Sequence[str] = (
            [f"warning: {unspellable} answers can never be right: the tokenizer has no tokens for their words"]
            if unspellable
            else []
        )

    @property
    def without_trees(self) -> str:
        """Why rows are not folded into prefix trees; empty where they are."""
        return self._decoder.without_trees

    @property
    def shapes(self) -> Mapping[tuple[int, int, int], int]:
        """How many passes of the first round have each shape."""
        return self._decoder.shapes

    def answer(self, model: ModelView, ranks: Ranks | None, progress: Callable[[float], None]) -> Answers:
        """Let the model answer all questions; there are no options, so no margin, no bits and no chance."""
        correct, exact, finite = self._decoder.answer(model, ranks)
        progress(1.0)
        none = np.full(len(correct), np.nan)
        return Answers(correct, none, none, np.zeros(len(correct)), finite, {EXACT: exact.astype(np.float64)})
