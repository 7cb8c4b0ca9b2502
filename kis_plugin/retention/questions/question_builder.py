"""All questions of a run at one point of it: every series, about the facts that hold then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from kis_plugin.config.schema import Config
from kis_plugin.hashing import IntArray, permutation
from kis_plugin.knowledge.fact_codes import MANY, sample
from kis_plugin.knowledge.facts import Fact, Passage
from kis_plugin.knowledge.sources.qa import UserQuestion, read_qa
from kis_plugin.knowledge.validity import Validity
from kis_plugin.registry import find
from kis_plugin.retention.protocols import PassageProbeKind, ProbeKind
from kis_plugin.retention.questions.background import Background, load_background
from kis_plugin.retention.questions.baselines import (
    Counts,
    above_chance,
    object_counts,
    right_counts,
    subject_counts,
    with_baseline,
)
from kis_plugin.retention.questions.fact_questions import FactQuestions, control_kind, left_out_notes
from kis_plugin.retention.questions.passages import PassageMaker
from kis_plugin.retention.questions.question import Question, by_series
from kis_plugin.retention.questions.user_questions import user_questions
from kis_plugin.retention.series import BACKGROUND, HELD_OUT, QA, SEEN
from kis_plugin.tokenized.infusion_split import InfusionSplit, entries_at

__all__ = ["QuestionBuilder", "initial_questions"]


@dataclass(frozen=True)
class QuestionBuilder:
    """Makes the questions of a run.

    Attributes:
        config: What to probe.
        split: Facts or passages, and which of them are controls.
        infused: Indices of the facts that the run infuses, sorted.
        known: Indices of those that the model knew before, sorted.
        in_run: Whether this is a training run, which always evaluates ``SEEN``, and measures retention by ``HELD_OUT``.
    """

    config: Config
    split: InfusionSplit
    infused: IntArray
    known: IntArray
    in_run: bool = True

    @cached_property
    def validity(self) -> Validity:
        """Which facts hold when."""
        return Validity(self.split.changing)

    @cached_property
    def background(self) -> Background | None:
        """The facts of ``retention.background``, if it is set."""
        return load_background(self.config, self.split)

    @cached_property
    def user_questions(self) -> tuple[UserQuestion, ...]:
        """The questions of ``retention.qa``."""
        path = self.config.retention.qa
        return () if path is None else read_qa(path)

    @cached_property
    def kinds(self) -> Sequence[ProbeKind]:
        """The probe kinds for infused facts, in order.

        Raises:
            KISError: An unknown one.
        """
        probes = self.config.retention.probes
        where = f"{self.config.path or 'config'} retention.probes"
        names = dict.fromkeys((*probes.kinds, SEEN) if self.in_run else probes.kinds)
        return [find("probes", name, f"{where}.kinds") for name in names]

    @property
    def options(self) -> int:
        """Options of a question; fewer than configured where there is a handful of facts."""
        return self._facts.options if self.split.knowledge.facts else self.config.retention.probes.options

    @cached_property
    def _facts(self) -> FactQuestions:
        return FactQuestions(self.config, self.split, self.infused, self.known, self.validity)

    @property
    def control_kind(self) -> str:
        """The name of the kind that probes controls: the first balanced one."""
        return control_kind(self.kinds).name

    def facts_of(self, series: str) -> Sequence[Fact]:
        """Return the facts that the questions of a series are about: ``Question.fact`` is an index into them."""
        background = self.background if series == BACKGROUND else None
        return self.split.knowledge.facts if background is None else background.facts

    def questions(self, at: float, notes: list[str]) -> list[Question]:
        """Make the questions of all series, with their domains and the frequency baseline's score on each.

        Args:
            at: The point of the run, as a fraction.
            notes: Receives what the user should know, one line each.

        Returns:
            The questions; no fact is in two option sets of one series.

        Raises:
            KISError: No option set can be formed, though the facts hold during the whole run; an unknown probe kind;
                or everything wrong with the background facts or the user's own questions.
        """
        found = by_series([*self._of_run(at, notes), *self._of_background(notes)])
        described = {series: self._described(series, some) for series, some in found.items()}
        notes += above_chance(described)
        return [question for some in described.values() for question in some]

    def _of_run(self, at: float, notes: list[str]) -> list[Question]:
        """Make the questions about what the run infuses and holds back."""
        probes = self.config.retention.probes
        where = f"{self.config.path or 'config'} retention.probes"
        kinds = self.kinds
        if not self.split.knowledge.facts:
            return self._about_documents(find("probes", SEEN, where), kinds, notes)
        if self.in_run and HELD_OUT not in probes.kinds:
            notes.append(
                f"warning: {where}.kinds has no {HELD_OUT}: the run measures no retention, and kis-predict will "
                "leave it out"
            )
        found = self._facts.questions(kinds, at, notes)
        return found + _shifted(self._of_user(QA, notes), len(self.split.knowledge.facts))

    def _about_documents(self, seen: ProbeKind, kinds: Sequence[ProbeKind], notes: list[str]) -> list[Question]:
        """Make the questions about documents: seen ones first, then those of each further kind that can."""
        maker = self._passage_maker(notes)
        able = dict.fromkeys(kind.name for kind in (seen, *kinds) if isinstance(kind, PassageProbeKind))
        by_name = {kind.name: kind for kind in (seen, *kinds)}
        lists = []
        for name in able:
            kind = by_name[name]
            assert isinstance(kind, PassageProbeKind)
            lists.append([replace(question, series=name) for question in kind.passage_questions(maker)])
        return _renumbered([*lists, self._of_user(HELD_OUT, notes)])

    def _passage_maker(self, notes: list[str]) -> PassageMaker:
        """Sample infused passages, twice as many as are needed: some cannot be probed."""
        probes, seed = self.config.retention.probes, self.config.seed
        infused, passages = self.split.passages_infused, self.split.knowledge.passages
        if len(infused) <= MANY:
            drawn = infused[np.sort(permutation(len(infused), seed, 3)[: 2 * probes.facts])]
        else:
            drawn = infused[sample(len(infused), 2 * probes.facts, seed, 3)]
        some: list[Passage] = [passages[index] for index in drawn.tolist()]
        return PassageMaker(some, probes.options, probes.facts, seed, bool(self.user_questions), notes)

    def _of_user(self, series: str, notes: list[str]) -> list[Question]:
        probes = self.config.retention.probes
        return user_questions(self.user_questions, series, probes.options, probes.facts, self.config.seed, notes)

    def _of_background(self, notes: list[str]) -> Sequence[Question]:
        """Return the questions about background facts, the same during the whole run."""
        if self.background is None:
            return ()
        if self.background.infused:
            notes.append(f"{self.background.infused} background facts are left out: they are infused too")
        notes += left_out_notes(BACKGROUND, self.background.sets)
        if not self.background.questions:
            notes.append("warning: no option set can be formed from the background facts")
        return self.background.questions

    def _described(self, series: str, questions: Sequence[Question]) -> list[Question]:
        """Fill in domains and the frequency baseline.

        Where a question is about no fact, the baseline counts how often each answer is right among such questions.
        """
        facts, background = self.facts_of(series), self.background if series == BACKGROUND else None
        book = self.split.book if background is None else background.book
        without_fact = right_counts([question for question in questions if question.fact >= len(facts)])
        counts = self._infused_counts if background is None else {"object": self._background_counts}
        return [
            replace(
                with_baseline(question, facts, counts[question.target] if question.fact < len(facts) else without_fact),
                domains=question.domains or book.domains_of(question.relation),
            )
            for question in questions
        ]

    @cached_property
    def _infused_counts(self) -> Mapping[str, Counts]:
        """How often each object, and each subject, occurs in infused facts; of very many facts, in a sample of them."""
        some = self.infused[sample(len(self.infused), MANY, self.config.seed, 11)]
        facts = entries_at(self.split.knowledge.facts, some)
        return {"object": object_counts(facts), "subject": subject_counts(facts)}

    @cached_property
    def _background_counts(self) -> Counts:
        facts = self.background.facts if self.background else ()
        return object_counts(entries_at(facts, sample(len(facts), MANY, self.config.seed, 11)))


def initial_questions(config: Config, split: InfusionSplit, notes: list[str]) -> list[Question]:
    """Make the questions of a run's first evaluation, for a model that knows none of the facts.

    Args:
        config: What to probe.
        split: Facts or passages, and which of them are controls.
        notes: Receives what the user should know, one line each.

    Raises:
        KISError: No option set can be formed, or an unknown probe kind.
    """
    return QuestionBuilder(config, split, split.infused, np.empty(0, dtype=np.int64)).questions(0.0, notes)


def _shifted(questions: list[Question], by: int) -> list[Question]:
    """Number the facts of questions from ``by`` on, apart from those of other questions."""
    return [
        replace(question, fact=question.fact + by, option_set=tuple(fact + by for fact in question.option_set))
        for question in questions
    ]


def _renumbered(lists: list[list[Question]]) -> list[Question]:
    """Join lists of questions that each number their facts from 0."""
    joined: list[Question] = []
    for questions in lists:
        joined += _shifted(questions, 1 + max((question.fact for question in joined), default=-1))
    return joined
