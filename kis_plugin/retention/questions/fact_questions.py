"""The questions about facts: infused, control, known before the run, and superseded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray, mix
from kis_plugin.knowledge.balanced_groups import HANDFUL, fitting_options
from kis_plugin.knowledge.fact_codes import MANY, coded, sample
from kis_plugin.knowledge.validity import Validity
from kis_plugin.retention.protocols import ProbeKind, is_balanced
from kis_plugin.retention.questions.distractors import OptionSet, OptionSets, option_sets
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.retention.questions.superseded import superseded
from kis_plugin.retention.series import CONTROL, KNOWN, SUPERSEDED
from kis_plugin.storage.text_rules import many
from kis_plugin.tokenized.infusion_split import InfusionSplit

__all__ = ["FactQuestions", "control_kind", "left_out_notes"]

_OVERSAMPLING = 8  # times as many facts are considered as are probed, where there are many


@dataclass(frozen=True)
class FactQuestions:
    """Makes the questions about a run's facts.

    Attributes:
        config: How many facts, how many options, which templates.
        split: The facts, and which of them are controls.
        infused: Indices of the facts that the run infuses, sorted.
        known: Indices of those that the model knew before, sorted.
        validity: Which facts hold when.
    """

    config: Config
    split: InfusionSplit
    infused: IntArray
    known: IntArray
    validity: Validity

    def questions(self, kinds: Sequence[ProbeKind], at: float, notes: list[str]) -> list[Question]:
        """Return the questions of all series at a point of the run.

        Args:
            kinds: The probe kinds for infused facts; the first balanced one probes controls and known facts too.
            at: The point of the run, as a fraction.
            notes: Receives what the user should know, one line each.

        Raises:
            KISError: No option set can be formed, though the facts hold during the whole run.
        """
        probes, seed = self.config.retention.probes, self.config.seed
        infused = self._sets(self.infused, probes.facts, mix(seed, 1), at)
        # No control is ever infused, in its old or its new version, so the same ones serve during the whole run.
        from_start = self.validity.holding(self.split.control, 0.0)
        control = self._sets(from_start, len(from_start), mix(seed, 2), None)
        known = self._sets(self.known, probes.facts, mix(seed, 4), at)
        if any(map(is_balanced, kinds)):
            if self.options < probes.options:
                few = f"questions have {self.options} options, not {probes.options}"
                notes.append(f"{few}: no relation has enough facts")
            if len(self.infused) and not infused.sets:
                self._no_sets(infused, at, notes)
            for name, sets in (("infused", infused), ("control", control), ("known", known)):
                notes += left_out_notes(name, sets)
        first = control_kind(kinds)
        series = [(kind, kind.name, infused) for kind in kinds]
        series += [(first, name, sets) for name, sets in ((CONTROL, control), (KNOWN, known)) if len(sets.among)]
        questions: list[Question] = []
        for kind, name, sets in series:
            questions += self._of_series(kind, name, sets, at, notes)
        return questions + self._about_superseded(at, notes)

    def _of_series(self, kind: ProbeKind, series: str, sets: OptionSets, at: float, notes: list[str]) -> list[Question]:
        found = kind.questions(self._maker(sets, at, notes))
        questions = [replace(question, series=_series_name(question, kind, series)) for question in found]
        possible, facts = sum(len(chosen.facts) for chosen in sets.sets), len({one.fact for one in questions})
        if facts < possible and is_balanced(kind):
            notes.append(f"warning: series {series}: {possible - facts} of {possible} facts have no template for it")
        return questions

    def _about_superseded(self, at: float, notes: list[str]) -> list[Question]:
        """Return the questions that offer the new object of a fact and the old one."""
        pairs = self._maker(self._superseded_pairs(at), at, notes)
        questions = pairs.for_objects(SUPERSEDED, lambda templates: templates.held_out)
        # A set of two makes two questions; the one whose right answer is the old object makes no sense any more.
        return [question for question in questions if question.answer == 0]

    def _maker(self, sets: OptionSets, at: float, notes: list[str]) -> QuestionMaker:
        knowledge, infused, valid = self.split.knowledge, self.infused, None
        if self.split.changing is not None:
            infused = self.validity.holding(infused, at)
            valid = self.validity.holding(np.arange(len(knowledge.facts)), at)
        probes = self.config.retention.probes
        return QuestionMaker(
            facts=knowledge.facts,
            sets=sets.sets,
            templates_of=self.split.book.of,
            seed=self.config.seed,
            infused=infused,
            valid=valid,
            noun_of=self._noun,
            options=self.options,
            limit=probes.facts,
            templates_per_fact=probes.templates_per_fact,
            candidates=sets.among,
            answer_spaces=knowledge.answer_spaces,
            notes=notes,
        )

    @cached_property
    def options(self) -> int:
        """Options of a question; fewer than configured where there is a handful of facts."""
        wanted, facts = self.config.retention.probes.options, self.split.knowledge.facts
        if len(facts) > HANDFUL:
            return wanted
        return fitting_options(coded(facts), self.infused, wanted, self.config.seed)

    def _noun(self, relation: str) -> str:
        return self.split.book.noun(relation)

    def _sets(self, among: IntArray, limit: int, seed: int, at: float | None) -> OptionSets:
        """Form option sets whose wrong options are wrong at fraction ``at`` of the run; None: at all times."""
        facts, options = self.split.knowledge.facts, self.options
        if at is None or self.split.changing is None:
            return replace(option_sets(facts, among, options, limit, seed), among=_spread(among, limit, seed))
        among = self.validity.holding(among, at)
        candidates = _spread(among, limit, seed)
        if len(facts) > MANY:
            among = among[sample(len(among), _OVERSAMPLING * limit, seed)]
        # A wrong option must not be true now, so the facts about the same subjects that hold now are needed, and no
        # others: an object that was true earlier, or will be later, is a fair distractor.
        codes = coded(facts)
        same_subjects = np.flatnonzero(codes.mask(codes.subject[among])[codes.subject])
        universe = self.validity.holding(same_subjects, at)
        some = [facts[index] for index in universe.tolist()]
        found = option_sets(some, np.searchsorted(universe, among), options, limit, seed)
        sets = [OptionSet(chosen.relation, tuple(universe[list(chosen.facts)].tolist())) for chosen in found.sets]
        return OptionSets(tuple(sets), found.left_out, candidates)

    def _superseded_pairs(self, at: float) -> OptionSets:
        """Return pairs of a fact that holds and the one that it superseded."""
        if self.split.changing is None:
            return OptionSets((), {})
        seed, limit = self.config.seed, self.config.retention.probes.facts
        facts = self.split.knowledge.facts
        new = self.validity.new(self.infused, at)
        new = new[sample(len(new), _OVERSAMPLING * limit, seed, 5)]
        pairs = superseded(coded(facts), self.split.changing, new, at)
        pairs = pairs[sample(len(pairs), limit, seed, 6)]
        return OptionSets(tuple(OptionSet(facts[new].relation, (new, old)) for new, old in pairs.tolist()), {})

    def _no_sets(self, sets: OptionSets, at: float, notes: list[str]) -> None:
        """Refuse knowledge of which no option set can be formed.

        Knowledge that changes may have some later, and a handful of facts is infused without: there it is noted.
        """
        probes = self.config.retention.probes
        if self.split.changing is not None:
            notes.append(f"warning: no option set can be formed from the facts that hold at {at:.3g} of the run")
            return
        if len(self.split.knowledge.facts) <= HANDFUL:
            notes.append("warning: no two facts of one relation have different objects: retention is not measured")
            return
        reasons = "; ".join(f"{relation}: {reason}" for relation, reason in list(sets.left_out.items())[:3])
        where = f"{self.config.path or 'config'} retention.probes.options"
        expected = f"{probes.options} facts of one relation to form an option set"
        raise KISError(Problem(where, reasons or f"facts: {probes.facts}", expected, "Set fewer options."))


def control_kind(kinds: Sequence[ProbeKind]) -> ProbeKind:
    """Return the kind that probes controls and known facts: the first balanced one, else the first."""
    return next(filter(is_balanced, kinds), kinds[0])


def left_out_notes(facts: str, sets: OptionSets) -> list[str]:
    """Return a note on the relations that no option set could be formed of."""
    if not sets.left_out:
        return []
    some = "; ".join(f"{relation}: {reason}" for relation, reason in list(sets.left_out.items())[:5])
    more = f"; and {len(sets.left_out) - 5} more" if len(sets.left_out) > 5 else ""
    relations = many(len(sets.left_out), "relation")
    return [f"{relations} of {facts} facts {'is' if len(sets.left_out) == 1 else 'are'} not probed ({some}{more})"]


def _series_name(question: Question, kind: ProbeKind, series: str) -> str:
    """Return the question's series name with the kind's name replaced by ``series``; a suffix is kept."""
    several = question.series.startswith(f"{kind.name}/")
    return question.series.replace(kind.name, series, 1) if several else series


def _spread(among: IntArray, limit: int, seed: int) -> IntArray:
    """Return the facts for a kind without option sets, evenly spread."""
    return among[sample(len(among), limit, seed, 7)]
