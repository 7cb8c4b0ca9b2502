"""Questions that are ready to be asked: tokenized once, answered at every evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from kis_plugin.free_form.decoding import Decoder
from kis_plugin.free_form.prompts import prepare_answers
from kis_plugin.retention.probes import Question
from kis_plugin.retention.results import Outcomes
from kis_plugin.retention.scoring.forward_passes import BATCH_TOKENS
from kis_plugin.retention.scoring.scorer import Scorer, prepare, unwatched
from kis_plugin.run.model_view import ModelView
from kis_plugin.run.ranks import Ranks
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["Evaluator"]


class Evaluator:
    """What is asked of one model again and again.

    Args:
        questions: Those with a sentence that is longer than a row are left out, and with them all their mates.
        tokenizer: The run's own.
        sequence_length: Tokens that the model sees at once, at most.
        notes: Takes what the user should know of, one line each.
        batch_tokens: Tokens of one pass, padding included; None for a number that does well.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        tokenizer: TextTokenizer,
        sequence_length: int,
        notes: list[str],
        batch_tokens: int | None = None,
    ) -> None:
        ready = _Ready(questions, tokenizer)
        lengths = zip(questions, ready.lengths, strict=True)
        long = {(question.source, question.fact) for question, length in lengths if length > sequence_length}
        if long:
            told = [{(question.source, fact) for fact in question.mates} for question in questions]
            mates = long.union(*(facts for facts in told if long & facts))
            questions = [question for question in questions if (question.source, question.fact) not in mates]
            notes.append(
                f"warning: {len(mates)} facts are not asked: sentences of their option sets are longer than a row"
            )
            ready = _Ready(questions, tokenizer)
        self.questions = tuple(questions)
        self._ready = ready
        self._scorer = Scorer(ready.options, batch_tokens or BATCH_TOKENS, sequence_length)
        self._decoder = Decoder(ready.answers, sequence_length, batch_tokens or BATCH_TOKENS)
        if lost := int((~ready.answers.spelled).sum()):
            notes.append(f"warning: {lost} answers can never be right: the tokenizer has no tokens for their words")

    @property
    def remarks(self) -> list[str]:
        """What is worth telling about how the questions are asked, once they were."""
        shapes = Counter(self._scorer.shapes) + Counter(self._decoder.shapes)
        more = ", and others where answers leave their drafts" if self._decoder.shapes else ""
        lines = [f"an evaluation takes {shapes.total()} passes of {len(shapes)} shapes{more}"] if shapes else []
        why = dict.fromkeys(asking.without_trees for asking in (self._scorer, self._decoder) if asking.without_trees)
        return lines + [f"probes are scored row by row, which is slower: {reason}" for reason in why]

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
        count, ready = len(self.questions), self._ready
        correct, exact = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
        margin, bits, chance = np.full(count, np.nan), np.full(count, np.nan), np.zeros(count)
        with model.evaluating():
            if len(ready.chosen):
                share = len(ready.chosen) / count
                scores = self._scorer.score(model, ranks, lambda part: watch(part * share))
                correct[ready.chosen], margin[ready.chosen] = scores.correct, scores.margin
                right = scores.logprobs[np.arange(len(ready.chosen)), scores.answers]
                bits[ready.chosen] = -right / np.log(2) / np.maximum(ready.options.bytes, 1)
                chance[ready.chosen] = 1 / ready.options.counts
            if len(ready.decoded):
                found = self._decoder.answer(model, ranks)
                correct[ready.decoded], exact[ready.decoded] = found
                watch(1.0)
        return Outcomes(
            questions=self.questions,
            correct=correct,
            margin=margin,
            bits_per_byte=bits,
            chance=chance,
            seconds=perf_counter() - start,
            exact=exact if len(ready.decoded) else None,
        )


class _Ready:
    """Questions as the model is shown them, those with options and those that it answers in words of its own apart.

    Attributes:
        chosen: Places of the questions with options.
        decoded: Places of the others.
        lengths: (questions,) tokens of each question's longest sentence, EOS before it included.
    """

    def __init__(self, questions: Sequence[Question], tokenizer: TextTokenizer) -> None:
        decoded = np.array([question.decoded for question in questions], dtype=np.bool_)
        self.chosen, self.decoded = np.flatnonzero(~decoded), np.flatnonzero(decoded)
        self.options = prepare([questions[place] for place in self.chosen.tolist()], tokenizer)
        self.answers = prepare_answers([questions[place] for place in self.decoded.tolist()], tokenizer)
        self.lengths = np.empty(len(questions), dtype=np.int64)
        self.lengths[self.chosen], self.lengths[self.decoded] = self.options.lengths, self.answers.lengths
