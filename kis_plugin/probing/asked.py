"""Questions that are ready to be asked: tokenized once, answered at every evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from kis_plugin.probing.outcomes import Outcomes
from kis_plugin.probing.probes import Question
from kis_plugin.probing.scoring import BATCH_TOKENS, Scorer, prepare, unwatched
from kis_plugin.run import ModelView, Ranks
from kis_plugin.sentences import TextTokenizer

__all__ = ["Asked"]


class Asked:
    """What is asked of one model again and again.

    Args:
        questions: Those with a sentence that is longer than a row are left out, and with them all their mates.
        tokenizer: The run's own.
        block: Tokens that the model sees at once, at most.
        notes: Takes what the user should know of, one line each.
        batch_tokens: Tokens of one pass, padding included; None for a number that does well.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        tokenizer: TextTokenizer,
        block: int,
        notes: list[str],
        batch_tokens: int | None = None,
    ) -> None:
        prepared = prepare(questions, tokenizer)
        lengths = zip(questions, prepared.lengths, strict=True)
        long = {(question.source, question.fact) for question, length in lengths if length > block}
        if long:
            told = [{(question.source, fact) for fact in question.mates} for question in questions]
            mates = long.union(*(facts for facts in told if long & facts))
            questions = [question for question in questions if (question.source, question.fact) not in mates]
            notes.append(
                f"warning: {len(mates)} facts are not asked: sentences of their option sets are longer than a row"
            )
            prepared = prepare(questions, tokenizer)
        self.questions = tuple(questions)
        self._prepared, self._scorer = prepared, Scorer(prepared, batch_tokens or BATCH_TOKENS, block)

    @property
    def remarks(self) -> list[str]:
        """What is worth telling about how the questions are asked, once they were."""
        shapes = self._scorer.shapes
        lines = [f"an evaluation takes {sum(shapes.values())} passes of {len(shapes)} shapes"]
        if self._scorer.without_trees:
            lines.append(f"probes are scored row by row, which is slower: {self._scorer.without_trees}")
        return lines

    def answer(
        self, model: ModelView, ranks: Ranks | None = None, watch: Callable[[float], None] = unwatched
    ) -> Outcomes:
        """Ask all questions.

        Args:
            model: Put into evaluation mode here, and left as it was.
            ranks: Those that ask together; every rank must call this, and all get the same.
            watch: Told after every pass which part of the work is done.
        """
        start = perf_counter()
        with model.evaluating():
            scores = self._scorer.score(model, ranks, watch)
        right = scores.logprobs[np.arange(len(self.questions)), scores.answers]
        return Outcomes(
            questions=self.questions,
            correct=scores.correct,
            margin=scores.margin,
            bits_per_byte=-right / np.log(2) / np.maximum(self._prepared.bytes, 1),
            chance=1 / self._prepared.counts,
            seconds=perf_counter() - start,
        )
