"""Questions that are ready to be asked: tokenized once, answered at every evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from kis_plugin.probing.outcomes import Outcomes
from kis_plugin.probing.probes import Question
from kis_plugin.probing.scoring import prepare
from kis_plugin.run import ModelView, Ranks
from kis_plugin.sentences import TextTokenizer

__all__ = ["Asked"]


def _unwatched(questions: int) -> None:
    """Show no progress."""


class Asked:
    """What is asked of one model again and again.

    Args:
        questions: Those with a sentence that is longer than a row are left out, and with them all their mates.
        tokenizer: The run's own.
        block: Tokens that the model sees at once, at most.
        notes: Takes what the user should know of, one line each.
    """

    def __init__(self, questions: Sequence[Question], tokenizer: TextTokenizer, block: int, notes: list[str]) -> None:
        prepared = prepare(questions, tokenizer)
        long = {question.fact for question, length in zip(questions, prepared.lengths, strict=True) if length > block}
        if long:
            mates = {fact for question in questions if long & set(question.mates) for fact in question.mates} | long
            questions = [question for question in questions if question.fact not in mates]
            notes.append(
                f"warning: {len(mates)} facts are not asked: sentences of their option sets are longer than a row"
            )
            prepared = prepare(questions, tokenizer)
        self.questions = tuple(questions)
        self._block, self._prepared = block, prepared

    def answer(
        self, model: ModelView, ranks: Ranks | None = None, watch: Callable[[int], None] = _unwatched
    ) -> Outcomes:
        """Ask all questions.

        Args:
            model: Put into evaluation mode here, and left as it was.
            ranks: Those that ask together; every rank must call this, and all get the same.
            watch: Told of questions that have been answered, a number each time.
        """
        start = perf_counter()
        with model.evaluating():
            scores = self._prepared.score(model, block=self._block)
        watch(len(self.questions))
        return Outcomes(
            questions=self.questions,
            correct=scores.correct,
            margin=scores.margin,
            bits_per_byte=np.full(len(self.questions), np.nan),
            chance=1 / self._prepared.counts,
            seconds=perf_counter() - start,
        )
