"""What is asked at a point of the run: the questions of every series, about the facts that hold then."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from kis_plugin.codes import MANY, coded, sample
from kis_plugin.config import Config
from kis_plugin.contracts import ProbeKind
from kis_plugin.errors import KISError, Problem
from kis_plugin.material import Material
from kis_plugin.periods import Periods
from kis_plugin.plugins import find
from kis_plugin.probing.options import OptionSet, OptionSets, option_sets
from kis_plugin.probing.probes import Question, QuestionMaker, passage_facts, passage_templates
from kis_plugin.probing.replaced import replaced
from kis_plugin.seeded import IntArray, mix, permutation

__all__ = ["CONTROL", "HELD_OUT", "KNOWN", "REPLACED", "SEEN", "Asker"]

HELD_OUT = "held_out"
SEEN = "seen"
CONTROL = "control"
KNOWN = "known"
REPLACED = "replaced"

_SPARE = 8  # times as many facts are looked at as may be asked, where there are many


@dataclass(frozen=True)
class Asker:
    """Makes the questions of a run.

    Attributes:
        config: What to ask.
        material: Facts or passages, and which of them are controls.
        told: Places in the knowledge's facts of those that the run tells, sorted.
        known: Those that it found known before, sorted.
        in_run: A run always asks ``SEEN`` too, and measures retention by ``HELD_OUT``.
    """

    config: Config
    material: Material
    told: IntArray
    known: IntArray
    in_run: bool = True

    @cached_property
    def periods(self) -> Periods:
        """Which facts hold when."""
        return Periods(self.material.changing)

    def questions(self, at: float, notes: list[str]) -> list[Question]:
        """Make the questions of all series.

        Args:
            at: The point of the run, as a fraction.
            notes: Takes what the user should know of, one line each.

        Returns:
            The questions; no fact is in two option sets of one series.

        Raises:
            KISError: No set of facts can be asked, though they hold in the whole run; or an unknown probe kind.
        """
        probes, seed = self.config.retention.probes, self.config.seed
        where = f"{self.config.path or 'config'} retention.probes"
        names = dict.fromkeys((*probes.templates, SEEN) if self.in_run else probes.templates)
        kinds = [find("probes", name, f"{where}.templates") for name in names]
        if not self.material.knowledge.facts:
            return self._about_passages(find("probes", SEEN, where), notes)
        if self.in_run and HELD_OUT not in probes.templates:
            notes.append(
                f"warning: {where}.templates has no {HELD_OUT}: the run measures no retention, and kis-predict will "
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
        series = [(kind, kind.name, infused) for kind in kinds]
        questions: list[Question] = []
        first = (balanced or kinds)[0]
        for kind, name, sets in [*series, (first, CONTROL, control), (first, KNOWN, known)]:
            questions += self._of_series(kind, name, sets, notes)
        pairs = self._replaced(at)
        maker = QuestionMaker(self.material.knowledge.facts, pairs.sets, self.material.book.of, seed)
        for question in maker.ask(REPLACED, lambda templates: templates.held_out):
            if question.answer == 0:  # the other way round nobody asks
                questions.append(question)
        return questions

    def _of_series(self, kind: ProbeKind, series: str, sets: OptionSets, notes: list[str]) -> list[Question]:
        known, templates_of, seed = self.material.knowledge, self.material.book.of, self.config.seed
        maker = QuestionMaker(known.facts, sets.sets, templates_of, seed, sets.among, known.answer_spaces, notes)
        asked = [replace(question, series=_named(question, kind, series)) for question in kind.questions(maker)]
        possible = sum(len(chosen.facts) for chosen in sets.sets)
        if len(asked) < possible and _balanced(kind):
            notes.append(
                f"warning: series {series}: {possible - len(asked)} of {possible} facts have no sentence for it"
            )
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
        told, passages = self.material.passages_told, self.material.knowledge.passages
        if len(told) <= MANY:
            drawn = told[np.sort(permutation(len(told), seed, 3)[: 2 * probes.facts])]
        else:
            drawn = told[sample(len(told), 2 * probes.facts, seed, 3)]
        facts = passage_facts([passages[index] for index in drawn.tolist()])
        sets = option_sets(facts, np.arange(len(facts)), probes.options, probes.facts, mix(seed, 1))
        if not sets.sets:
            notes.append(
                f"warning: nothing is asked: {len(facts)} passages have 20 words or more, and {probes.options} that "
                "go on differently are needed. To measure retention give longer passages, or facts as triples."
            )
            return []
        maker = QuestionMaker(facts, sets.sets, passage_templates, seed)
        notes.append(
            "warning: documents are asked by their own wording (series seen), which shows no collapse. Retention "
            "proper needs facts: give triples."
        )
        return [replace(question, series=SEEN) for question in seen.questions(maker)]


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
