"""Evaluates the same questions again and again: tokenized once, each by the scorer it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from kis_plugin.hashing import IntArray
from kis_plugin.registry import find, registered
from kis_plugin.retention.protocols import AnswerScorer, PreparedScorer
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.results import Outcomes
from kis_plugin.retention.scoring.batch_plan import BATCH_TOKENS
from kis_plugin.run.model_view import ModelView
from kis_plugin.run.ranks import Ranks
from kis_plugin.storage.text_rules import many
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["Evaluator"]


@dataclass(frozen=True)
class _Group:
    """The questions of one scorer: (questions,) their places among all, and what evaluates them."""

    places: IntArray
    scorer: PreparedScorer


class Evaluator:
    """Evaluates questions with one model, as often as needed.

    Args:
        questions: Those with a row longer than ``sequence_length`` are left out, and with them their whole option set.
        tokenizer: The run's own.
        sequence_length: The most tokens that the model sees at once.
        notes: Receives what the user should know, one line each.
        batch_tokens: Tokens of one forward pass, padding included; None for the default.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        tokenizer: TextTokenizer,
        sequence_length: int,
        notes: list[str],
        batch_tokens: int | None = None,
    ) -> None:
        limits = sequence_length, batch_tokens or BATCH_TOKENS
        groups = _groups(questions, tokenizer, *limits)
        kept = _fitting(questions, groups, sequence_length, notes)
        if len(kept) < len(questions):
            groups = _groups(kept, tokenizer, *limits)
        self.questions = tuple(kept)
        self._tokenizer = tokenizer
        self._groups = groups
        notes += [note for group in groups for note in group.scorer.notes]

    @property
    def remarks(self) -> list[str]:
        """How the questions are evaluated, one line each; known after the first evaluation."""
        scorers = [group.scorer for group in self._groups]
        shapes = sum((Counter(scorer.shapes) for scorer in scorers), Counter())
        open_ended = any(scorer.open_ended and scorer.shapes for scorer in scorers)
        more = ", and more where answers leave their drafts" if open_ended else ""
        lines = [f"an evaluation takes {shapes.total()} passes of {len(shapes)} shapes{more}"] if shapes else []
        why = dict.fromkeys(scorer.without_trees for scorer in scorers if scorer.without_trees)
        return lines + [f"probes are scored row by row, which is slower: {reason}" for reason in why]

    def try_model(self, model: ModelView) -> None:
        """Try what an evaluation needs of the model; every rank must call it.

        Raises:
            KISError: As ``answer``.
        """
        from kis_plugin.retention.scoring.model_diagnosis import try_model  # it imports torch

        if self._groups:
            longest = max(int(group.scorer.lengths.max()) for group in self._groups)
            try_model(model, self._tokenizer, max(longest - 1, 1))

    def answer(
        self, model: ModelView, ranks: Ranks | None = None, watch: Callable[[float], None] = lambda part: None
    ) -> Outcomes:
        """Evaluate all questions.

        Args:
            model: Put into evaluation mode here, and left as it was.
            ranks: Those that share the work; every rank must call this, and all get the same.
            watch: Called after every pass with the fraction of the work that is done.

        Raises:
            KISError: The model cannot be called with token ids alone, has fewer tokens than the tokenizer, or fewer
                positions than the longest probe.
        """
        from kis_plugin.retention.scoring.model_diagnosis import FAILURES, diagnosed  # it imports torch

        start = perf_counter()
        count = len(self.questions)
        correct, chance = np.zeros(count, dtype=np.bool_), np.zeros(count)
        finite = np.ones(count, dtype=np.bool_)
        margin, bits = np.full(count, np.nan), np.full(count, np.nan)
        measures: dict[str, np.ndarray] = {}
        done = 0
        with model.evaluating():
            for places, scorer in ((group.places, group.scorer) for group in self._groups):
                before, share = done / count, len(places) / count
                try:
                    found = scorer.answer(model, ranks, _part_of(watch, before, share))
                except FAILURES as error:
                    found_wrong = diagnosed(error, model, self._tokenizer, int(scorer.lengths.max()) - 1)
                    raise found_wrong from (None if found_wrong is error else error)
                correct[places], chance[places], finite[places] = found.correct, found.chance, found.finite
                margin[places], bits[places] = found.margin, found.bits_per_byte
                for name, values in found.measures.items():
                    measures.setdefault(name, np.full(count, np.nan))[places] = values
                done += len(places)
        return Outcomes(
            questions=self.questions,
            correct=correct,
            margin=margin,
            bits_per_byte=bits,
            chance=chance,
            seconds=perf_counter() - start,
            finite=finite,
            measures=measures,
        )


def _part_of(watch: Callable[[float], None], before: float, share: float) -> Callable[[float], None]:
    return lambda part: watch(min(before + part * share, 1.0))


def _groups(
    questions: Sequence[Question], tokenizer: TextTokenizer, sequence_length: int, batch_tokens: int
) -> list[_Group]:
    """Prepare questions, those of each scorer together, scorers in the order of their registration."""
    used = {question.scorer for question in questions}
    names = [name for name in registered("scorers") if name in used]
    for unknown in sorted(used.difference(names)):
        find("scorers", unknown, "probe kinds")  # raises, and names the nearest
    groups = []
    for name in names:
        places = np.array([n for n, question in enumerate(questions) if question.scorer == name], dtype=np.int64)
        some = [questions[place] for place in places.tolist()]
        scorer: AnswerScorer = registered("scorers")[name]
        groups.append(_Group(places, scorer.prepare(some, tokenizer, sequence_length, batch_tokens)))
    return groups


def _fitting(
    questions: Sequence[Question], groups: Sequence[_Group], sequence_length: int, notes: list[str]
) -> list[Question]:
    """Return the questions whose option sets fit into a row whole, so that every set stays balanced."""
    lengths = np.zeros(len(questions), dtype=np.int64)
    for group in groups:
        lengths[group.places] = group.scorer.lengths
    long = {
        (question.source, question.fact)
        for question, length in zip(questions, lengths.tolist(), strict=True)
        if length > sequence_length
    }
    if not long:
        return list(questions)
    sets = [{(question.source, fact) for fact in question.option_set} for question in questions]
    left_out = long.union(*(facts for facts in sets if long & facts))
    not_probed = many(len(left_out), "fact", ("is", "are")) + " not probed"
    notes.append(f"warning: {not_probed}: sentences of their option sets are longer than a row")
    return [question for question in questions if (question.source, question.fact) not in left_out]
