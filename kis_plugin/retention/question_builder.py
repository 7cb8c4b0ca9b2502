"""What is asked at a point of the run: the questions of every series, about the facts that hold then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.free_form.cloze_spans import span_facts, span_templates
from kis_plugin.hashing import IntArray, mix, permutation
from kis_plugin.knowledge.fact_codes import MANY, coded, sample
from kis_plugin.knowledge.facts import Fact, Passage
from kis_plugin.knowledge.sources.qa import UserQuestion, read_qa
from kis_plugin.knowledge.validity import Validity
from kis_plugin.registry import find
from kis_plugin.retention.background import BACKGROUND, Background, load_background
from kis_plugin.retention.baselines import (
    Counts,
    above_chance,
    object_counts,
    right_counts,
    subject_counts,
    with_baseline,
)
from kis_plugin.retention.distractors import OptionSet, OptionSets, option_sets
from kis_plugin.retention.probes import Question, QuestionMaker, by_series, passage_facts, passage_templates
from kis_plugin.retention.protocols import ProbeKind
from kis_plugin.retention.superseded import replaced
from kis_plugin.retention.user_questions import QA, own_questions
from kis_plugin.tokenized.infusion_split import InfusionSplit, entries_at

__all__ = ["CLOZE", "CONTROL", "HELD_OUT", "KNOWN", "REPLACED", "SEEN", "QuestionBuilder"]

HELD_OUT = "held_out"
SEEN = "seen"
CONTROL = "control"
KNOWN = "known"
REPLACED = "replaced"
CLOZE = "cloze"

_SPARE = 8  # times as many facts are looked at as may be asked, where there are many


@dataclass(frozen=True)
class QuestionBuilder:
    """Makes the questions of a run.

    Attributes:
        config: What to ask.
        material: Facts or passages, and which of them are controls.
        told: Places in the knowledge's facts of those that the run tells, sorted.
        known: Those that it found known before, sorted.
        in_run: A run always asks ``SEEN`` too, and measures retention by ``HELD_OUT``.
    """

    config: Config
    material: InfusionSplit
    told: IntArray
    known: IntArray
    in_run: bool = True

    @cached_property
    def periods(self) -> Validity:
        """Which facts hold when."""
        return Validity(self.material.changing)

    @cached_property
    def background(self) -> Background | None:
        """What the base data teaches, if the configuration names it."""
        return load_background(self.config, self.material)

    def facts_of(self, series: str) -> Sequence[Fact]:
        """Return the facts that the questions of a series are about: ``Question.fact`` is an index into them."""
        background = self.background if series == BACKGROUND else None
        return self.material.knowledge.facts if background is None else background.facts

    @cached_property
    def own(self) -> tuple[UserQuestion, ...]:
        """The user's own questions."""
        path = self.config.retention.qa
        return () if path is None else read_qa(path)

    def questions(self, at: float, notes: list[str]) -> list[Question]:
        """Make the questions of all series, each with what it is about and what the null scores on it.

        Args:
            at: The point of the run, as a fraction.
            notes: Takes what the user should know of, one line each.

        Returns:
            The questions; no fact is in two option sets of one series.

        Raises:
            KISError: Anything wrong with what is to be asked.
        """
        asked = by_series([*self._of_run(at, notes), *self._of_background(notes)])
        described = {series: self._described(series, some) for series, some in asked.items()}
        notes += above_chance(described)
        return [question for some in described.values() for question in some]

    def _described(self, series: str, questions: Sequence[Question]) -> list[Question]:
        """Fill in domains and null. Questions about no fact are known by how often each answer is right among them."""
        facts, background = self.facts_of(series), self.background if series == BACKGROUND else None
        book = self.material.book if background is None else background.book
        own = right_counts([question for question in questions if question.fact >= len(facts)])
        told = self._told_counts if background is None else {"object": self._background_counts}
        return [
            replace(
                with_baseline(question, facts, told[question.asks] if question.fact < len(facts) else own),
                domains=question.domains or book.domains_of(question.relation),
            )
            for question in questions
        ]

    @cached_property
    def _told_counts(self) -> Mapping[str, Counts]:
        """How often each object, and each subject, is told; of very many facts, in a sample of them."""
        some = self.told[sample(len(self.told), MANY, self.config.seed, 11)]
        facts = entries_at(self.material.knowledge.facts, some)
        return {"object": object_counts(facts), "subject": subject_counts(facts)}

    @cached_property
    def _background_counts(self) -> Counts:
        facts = self.background.facts if self.background else ()
        return object_counts(entries_at(facts, sample(len(facts), MANY, self.config.seed, 11)))

    def _of_background(self, notes: list[str]) -> Sequence[Question]:
        """Ask what the base data teaches, the same in the whole run."""
        if self.background is None:
            return ()
        if self.background.infused:
            notes.append(f"{self.background.infused} background facts are left out: they are infused too")
        notes += _left_out(BACKGROUND, self.background.sets)
        if not self.background.questions:
            notes.append("warning: no set of background facts can be asked")
        return self.background.questions

    def _of_run(self, at: float, notes: list[str]) -> list[Question]:
        """Make the questions about what the run infuses and keeps back.

        Args:
            at: The point of the run, as a fraction.
            notes: Takes what the user should know of, one line each.

        Returns:
            The questions; no fact is in two option sets of one series.

        Raises:
            KISError: No set of facts can be asked, though they hold in the whole run; an unknown probe kind; or
                everything wrong with the file of the user's own questions.
        """
        probes, seed = self.config.retention.probes, self.config.seed
        where = f"{self.config.path or 'config'} retention.probes"
        names = dict.fromkeys((*probes.kinds, SEEN) if self.in_run else probes.kinds)
        kinds = [find("probes", name, f"{where}.kinds") for name in names]
        if not self.material.knowledge.facts:
            told = [self._about_passages(find("probes", SEEN, where), notes)]
            if CLOZE in probes.kinds:
                told.append(self._about_spans(notes))
            told.append(self._own(HELD_OUT, notes))
            return _beside(told)
        if self.in_run and HELD_OUT not in probes.kinds:
            notes.append(
                f"warning: {where}.kinds has no {HELD_OUT}: the run measures no retention, and kis-predict will "
                "leave it out"
            )
        infused = self._sets(self.told, probes.facts, mix(seed, 1), at)
        # Nobody is told a control, old or new: the same ones are asked in the whole run.
        still = self.periods.holding(self.material.control, 0.0)
        control = self._sets(still, len(still), mix(seed, 2), None)
        known = self._sets(self.known, probes.facts, mix(seed, 4), at)
        balanced = [kind for kind in kinds if _balanced(kind)]
        if balanced:
            if len(self.told) and not infused.sets:
                self._refuse_none(infused, f"{where}.options", at, notes)
            notes += _left_out("infused", infused) + _left_out("control", control) + _left_out("known", known)
        first = (balanced or kinds)[0]
        series = [(kind, kind.name, infused) for kind in kinds]
        questions: list[Question] = []
        series += [(first, name, sets) for name, sets in ((CONTROL, control), (KNOWN, known)) if len(sets.among)]
        for kind, name, sets in series:
            questions += self._of_series(kind, name, sets, at, notes)
        for question in self._maker(self._replaced(at), at, notes).ask(REPLACED, lambda templates: templates.held_out):
            if question.answer == 0:  # the other way round nobody asks
                questions.append(question)
        return questions + _shifted(self._own(QA, notes), len(self.material.knowledge.facts))

    def _own(self, series: str, notes: list[str]) -> list[Question]:
        probes = self.config.retention.probes
        return own_questions(self.own, series, probes.options, probes.facts, self.config.seed, notes)

    def _maker(self, sets: OptionSets, at: float, notes: list[str]) -> QuestionMaker:
        known, told, holding, probes = self.material.knowledge, self.told, None, self.config.retention.probes
        if self.material.changing is not None:
            told = self.periods.holding(told, at)
            holding = self.periods.holding(np.arange(len(known.facts)), at)
        return QuestionMaker(
            facts=known.facts,
            sets=sets.sets,
            templates_of=self.material.book.of,
            seed=self.config.seed,
            told=told,
            holding=holding,
            noun_of=self._noun,
            options=probes.options,
            limit=probes.facts,
            wordings=probes.templates_per_fact,
            among=sets.among,
            answer_spaces=known.answer_spaces,
            notes=notes,
        )

    def _noun(self, relation: str) -> str:
        return self.material.book.noun(relation)

    def _of_series(self, kind: ProbeKind, series: str, sets: OptionSets, at: float, notes: list[str]) -> list[Question]:
        found = kind.questions(self._maker(sets, at, notes))
        asked = [replace(question, series=_named(question, kind, series)) for question in found]
        possible, facts = sum(len(chosen.facts) for chosen in sets.sets), len({question.fact for question in asked})
        if facts < possible and _balanced(kind):
            notes.append(f"warning: series {series}: {possible - facts} of {possible} facts have no sentence for it")
        return asked

    def _sets(self, among: IntArray, limit: int, seed: int, at: float | None) -> OptionSets:
        """Form option sets whose wrong options are wrong at fraction ``at`` of the run; None: at all times."""
        facts, options = self.material.knowledge.facts, self.config.retention.probes.options
        if at is None or self.material.changing is None:
            return replace(option_sets(facts, among, options, limit, seed), among=_some(among, limit, seed))
        among = self.periods.holding(among, at)
        asked = _some(among, limit, seed)
        if len(facts) > MANY:
            among = among[sample(len(among), _SPARE * limit, seed)]
        # All that holds then of the subjects asked about, and nothing else.
        codes = coded(facts)
        mates = np.flatnonzero(codes.mask(codes.subject[among])[codes.subject])
        universe = self.periods.holding(mates, at)
        some = [facts[index] for index in universe.tolist()]
        found = option_sets(some, np.searchsorted(universe, among), options, limit, seed)
        sets = [OptionSet(chosen.relation, tuple(universe[list(chosen.facts)].tolist())) for chosen in found.sets]
        return OptionSets(tuple(sets), found.left_out, asked)

    def _replaced(self, at: float) -> OptionSets:
        """Return pairs of a fact that holds and the one that it replaced."""
        if self.material.changing is None:
            return OptionSets((), {})
        seed, limit = self.config.seed, self.config.retention.probes.facts
        new = self.periods.new(self.told, at)
        facts = self.material.knowledge.facts
        pairs = replaced(coded(facts), self.material.changing, new[sample(len(new), _SPARE * limit, seed, 5)], at)
        pairs = pairs[sample(len(pairs), limit, seed, 6)]
        return OptionSets(tuple(OptionSet(facts[new].relation, (new, old)) for new, old in pairs.tolist()), {})

    def _refuse_none(self, sets: OptionSets, where: str, at: float, notes: list[str]) -> None:
        probes = self.config.retention.probes
        if self.material.changing is not None:
            notes.append(f"warning: no set of facts that hold at {at:.3g} of the run can be asked")
            return
        reasons = "; ".join(f"{relation}: {reason}" for relation, reason in list(sets.left_out.items())[:3])
        expected = f"{probes.options} facts of one relation to ask together"
        raise KISError(Problem(where, reasons or f"facts: {probes.facts}", expected, "Ask fewer options."))

    def _about_passages(self, seen: ProbeKind, notes: list[str]) -> list[Question]:
        """Ask how passages go on; documents hold no other wording to ask by."""
        probes, seed = self.config.retention.probes, self.config.seed
        facts = passage_facts(self._some_passages())
        sets = option_sets(facts, np.arange(len(facts)), probes.options, probes.facts, mix(seed, 1))
        if not sets.sets:
            notes.append(
                f"warning: series {SEEN}: nothing is asked: {len(facts)} passages have 20 words or more, and "
                f"{probes.options} that go on differently are needed. To measure retention give longer passages, "
                "questions of your own (retention.qa), or facts as triples."
            )
            return []
        maker = QuestionMaker(facts, sets.sets, passage_templates, seed)
        if not self.own:
            notes.append(
                "warning: documents are asked by their own wording (series seen), which shows no collapse. Retention "
                "proper needs facts, or questions of your own: give triples, or retention.qa."
            )
        return [replace(question, series=SEEN) for question in seen.questions(maker)]

    def _about_spans(self, notes: list[str]) -> list[Question]:
        """Ask for names, numbers and years in sentences of passages, by the sentence alone."""
        probes, seed = self.config.retention.probes, self.config.seed
        facts = span_facts(self._some_passages(), 2 * probes.facts, mix(seed, 7))
        sets = option_sets(facts, np.arange(len(facts)), probes.options, probes.facts, mix(seed, 8))
        if not sets.sets:
            notes.append(f"warning: series {CLOZE}: no {probes.options} names, numbers or years of different passages")
        return QuestionMaker(facts, sets.sets, span_templates, seed).ask(CLOZE, lambda templates: templates.statements)

    def _some_passages(self) -> list[Passage]:
        """Draw told passages to ask about, twice as many as are wanted: some cannot be asked."""
        probes, seed = self.config.retention.probes, self.config.seed
        told, passages = self.material.passages_infused, self.material.knowledge.passages
        if len(told) <= MANY:
            drawn = told[np.sort(permutation(len(told), seed, 3)[: 2 * probes.facts])]
        else:
            drawn = told[sample(len(told), 2 * probes.facts, seed, 3)]
        return [passages[index] for index in drawn.tolist()]


def _shifted(questions: list[Question], by: int) -> list[Question]:
    """Number the facts of questions from ``by`` on, so that they are none of those asked beside them."""
    return [
        replace(question, fact=question.fact + by, mates=tuple(mate + by for mate in question.mates))
        for question in questions
    ]


def _beside(lists: list[list[Question]]) -> list[Question]:
    """Join questions that number their facts each from 0 on."""
    joined: list[Question] = []
    for questions in lists:
        joined += _shifted(questions, 1 + max((question.fact for question in joined), default=-1))
    return joined


def _balanced(kind: ProbeKind) -> bool:
    """Return whether a kind asks by option sets."""
    return getattr(kind, "balanced", True)


def _named(question: Question, kind: ProbeKind, series: str) -> str:
    """Return the name of a question's series, if that of its kind is ``series``: what tells several apart stays."""
    several = question.series.startswith(f"{kind.name}/")
    return question.series.replace(kind.name, series, 1) if several else series


def _some(among: IntArray, limit: int, seed: int) -> IntArray:
    """Return the facts that a kind without option sets asks, evenly spread."""
    return among[sample(len(among), limit, seed, 7)]


def _left_out(kind: str, sets: OptionSets) -> list[str]:
    """Say which relations are not asked."""
    if not sets.left_out:
        return []
    some = "; ".join(f"{relation}: {reason}" for relation, reason in list(sets.left_out.items())[:5])
    more = f"; and {len(sets.left_out) - 5} more" if len(sets.left_out) > 5 else ""
    return [f"{len(sets.left_out)} relations of {kind} facts are not asked ({some}{more})"]
