"""What a probe kind makes its questions from: facts, their balanced option sets, and templates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from kis_plugin.hashing import IntArray, mix
from kis_plugin.knowledge.fact_codes import coded
from kis_plugin.knowledge.facts import Fact, Templates
from kis_plugin.retention.questions.distractors import OptionSet
from kis_plugin.retention.questions.question import Question
from kis_plugin.tokenized.tokenizer import render

__all__ = ["QuestionMaker"]


@dataclass(frozen=True)
class QuestionMaker:
    """What a probe kind makes its questions from.

    Attributes:
        facts: All facts; option sets hold indices into them.
        sets: The facts to probe, with their options.
        templates_of: Returns the templates of a relation.
        seed: For a probe kind's own random choices.
        infused: Indices of the facts that the run infuses, sorted; None where that is unknown.
        valid: Indices of the facts that hold at this point of the run, sorted; None if all do.
        noun_of: Returns what the object of a relation is to its subject, in words: the capital.
        options: Options of a question, for kinds that choose facts themselves.
        limit: The most questions that such a kind makes.
        templates_per_fact: In how many templates each fact of a set is probed, if its relation has that many.
        candidates: Indices of the facts to probe for a kind that needs no option sets, sorted.
        answer_spaces: The closed answer spaces that came with the knowledge, by relation.
        notes: Receives what the user should know, one line each.
    """

    facts: Sequence[Fact]
    sets: Sequence[OptionSet]
    templates_of: Callable[[str], Templates]
    seed: int
    infused: IntArray | None = None
    valid: IntArray | None = None
    noun_of: Callable[[str], str] = str
    options: int = 4
    limit: int = 1000
    templates_per_fact: int = 1
    candidates: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    answer_spaces: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def _true_facts(self) -> Mapping[int, Sequence[int]]:
        """For each fact about a subject of the sets, the facts of its relation and subject that hold."""
        probed = np.array([index for options in self.sets for index in options.facts], dtype=np.int64)
        codes = coded(self.facts)
        same_subjects = np.flatnonzero(codes.mask(codes.subject[probed])[codes.subject])
        if self.valid is not None:
            same_subjects = np.intersect1d(same_subjects, self.valid)
        found: dict[tuple[int, int], list[int]] = {}
        for index in same_subjects.tolist():
            found.setdefault((int(codes.relation[index]), int(codes.subject[index])), []).append(index)
        return {index: facts for facts in found.values() for index in facts}

    def true_with(self, index: int) -> list[Fact]:
        """Return a fact of the sets and all others of its relation and subject that hold, itself first.

        A relation may have several true objects (the official languages of Belgium): each of them is a right answer.
        """
        others = (self.facts[other] for other in self._true_facts.get(index, ()) if other != index)
        return [self.facts[index], *others]

    def for_objects(self, series: str, choice: Callable[[Templates], Sequence[str]]) -> list[Question]:
        """Return the questions for the object of every fact, in ``templates_per_fact`` templates each.

        Args:
            series: The name of the series.
            choice: Selects the usable templates of a relation; an empty selection leaves the relation out. All facts
                of a set get the same template (else the set would not be balanced), and sets take templates in turn.
        """
        return [
            question
            for options, template, number in self._sets_with_templates(choice)
            for question in self.of_set(series, options, template, number)
        ]

    def for_subjects(self, series: str, choice: Callable[[Templates], Sequence[str]]) -> list[Question]:
        """Return the questions for the subject of every fact, given its object; the set's subjects are the options.

        The subjects are distinct, and only one is right: in a balanced set no fact's object is true of another's
        subject.

        Args:
            series: The name of the series.
            choice: As for ``for_objects``: templates in which ``{object}`` stands before ``{subject}``.
        """
        return [
            question
            for options, template, number in self._sets_with_templates(choice)
            for question in self._subjects_of_set(series, options, template, number)
        ]

    def of_set(self, series: str, options: OptionSet, template: str, number: int = -1) -> list[Question]:
        """Return a question for the object of each fact of a set, by one template.

        Args:
            series: The name of the series.
            options: The set.
            template: A sentence with ``{subject}`` and ``{object}``.
            number: Which template of the relation that is, for the log; -1 for none.
        """
        head, _ = template.split("{object}")
        facts = [self.facts[index] for index in options.facts]
        questions = []
        for answer, (index, fact) in enumerate(zip(options.facts, facts, strict=True)):
            prefix = head.replace("{subject}", fact.subject)
            texts = tuple(render(template, fact, other.object)[len(prefix) :] for other in facts)
            members = options.facts
            questions.append(Question(index, prefix, texts, answer, series, options.relation, members, template=number))
        return questions

    def _subjects_of_set(self, series: str, options: OptionSet, template: str, number: int) -> list[Question]:
        head, _ = template.split("{subject}")
        facts = [self.facts[index] for index in options.facts]
        questions = []
        for answer, (index, fact) in enumerate(zip(options.facts, facts, strict=True)):
            prefix = head.replace("{object}", fact.object)
            texts = tuple(render(template, other, fact.object)[len(prefix) :] for other in facts)
            members = options.facts
            questions.append(
                Question(
                    index, prefix, texts, answer, series, options.relation, members, target="subject", template=number
                )
            )
        return questions

    def _sets_with_templates(
        self, choice: Callable[[Templates], Sequence[str]]
    ) -> Iterator[tuple[OptionSet, str, int]]:
        """Yield each set whose relation has templates with successive ones of them and their numbers."""
        for number, options in enumerate(self.sets, start=mix(self.seed)):
            of_relation = self.templates_of(options.relation)
            templates = choice(of_relation)
            for turn in range(min(self.templates_per_fact, len(templates))):
                template = templates[(number + turn) % len(templates)]
                yield options, template, _number_of(of_relation, template)


def _number_of(templates: Templates, template: str) -> int:
    """Return the place of a template among the statements of its relation, else among its questions or reversals."""
    groups = (templates.statements, templates.questions, templates.reversed)
    return next((group.index(template) for group in groups if template in group), -1)
