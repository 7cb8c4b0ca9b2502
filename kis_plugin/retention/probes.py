"""Questions about facts: one right option, and why a sentence is asked from its object on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import nan

import numpy as np

from kis_plugin.hashing import IntArray, mix
from kis_plugin.knowledge.facts import Fact, Passage, Templates
from kis_plugin.retention.distractors import OptionSet
from kis_plugin.tokenized.tokenizer import render

__all__ = [
    "BUILT_IN", "PASSAGE", "Question", "QuestionMaker", "ReversedProbe", "TemplateProbe", "by_series", "passage_facts",
    "passage_templates",
]  # fmt: skip

PASSAGE = "passage"
"""The relation of a passage's beginning with what follows."""
_CONTINUATION = 8  # words
_PREFIX = (12, 30)  # words


@dataclass(frozen=True)
class Question:
    """A sentence told up to its object, and the ways it may go on.

    The prefix may lack the subject or be empty, where a template tells the object first: each option then holds the
    subject, and what is compared is the probability of all of the sentence from the object on.

    One that asks for the subject is told up to that, and its options are subjects.

    Attributes:
        fact: Index of the fact asked about, among those its maker had; of what is no single fact, a number beyond.
        prefix: The sentence up to its object, spaces included.
        options: For each object, the object and the rest of the sentence.
        answer: Index of the right option.
        series: The probe series it belongs to.
        relation: The relation asked about.
        mates: The facts asked with it, itself included: an option set stands and falls as one.
        source: Which facts ``fact`` and ``mates`` are indices of, where they are not those of the run's knowledge.
        domains: What the relation is about; the run fills it in.
        null: What ``kis_plugin.retention.baselines`` scores on it; NaN where that is not known. The run fills it in.
        asks: What the options begin with: ``object``, or ``subject`` where the object is told.
        accepted: Where the model answers in words of its own: the object, as the one option begins, and its other
            names; any of them is right.
    """

    fact: int
    prefix: str
    options: tuple[str, ...]
    answer: int
    series: str
    relation: str = ""
    mates: tuple[int, ...] = ()
    source: str = ""
    domains: tuple[str, ...] = ()
    null: float = nan
    asks: str = "object"
    accepted: tuple[str, ...] = ()

    @property
    def decoded(self) -> bool:
        """Whether the model answers in words of its own, and chooses among no options."""
        return bool(self.accepted)


@dataclass(frozen=True)
class QuestionMaker:
    """What a probe kind makes its questions from.

    Attributes:
        facts: All facts; option sets hold indices into them.
        sets: The facts to ask, with their options.
        templates_of: The templates of a relation.
        seed: For choices of a probe kind's own.
        told: Places in ``facts`` of those that the run tells, sorted; None where that is not known.
        holding: Places of those that hold at the time, sorted; None if all do.
        noun_of: Returns what the object of a relation is of its subject, in words: the capital.
        options: Options of a question, for kinds that choose facts of their own.
        limit: How many questions such a kind makes at most.
        wordings: In how many sentences each fact of a set is asked, as far as there are so many.
        among: Indices of the facts to ask for a kind that needs no option sets, sorted.
        answer_spaces: The closed answer spaces that came with the knowledge, by relation.
        notes: Takes what the user should know of, one line each.
    """

    facts: Sequence[Fact]
    sets: Sequence[OptionSet]
    templates_of: Callable[[str], Templates]
    seed: int
    told: IntArray | None = None
    holding: IntArray | None = None
    noun_of: Callable[[str], str] = str
    options: int = 4
    limit: int = 1000
    wordings: int = 1
    among: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    answer_spaces: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def ask(self, series: str, choice: Callable[[Templates], Sequence[str]]) -> list[Question]:
        """Ask every fact in ``wordings`` sentences.

        Args:
            series: The name of the series.
            choice: Which of a relation's sentences may be asked; none leaves the relation out. The facts of a set
                are asked by the same sentences (else the set would not be balanced), and sets take them in turn.
        """
        return [
            question
            for options, sentence in self._in_turn(choice)
            for question in self.ask_set(series, options, sentence)
        ]

    def ask_back(self, series: str, choice: Callable[[Templates], Sequence[str]]) -> list[Question]:
        """Ask for the subject of every fact, the object told; the subjects of the set are the options.

        They are distinct, and none is true for another's object: no object of the set is true for another's subject.

        Args:
            series: The name of the series.
            choice: As for ``ask``: sentences in which ``{object}`` stands before ``{subject}``.
        """
        return [
            question
            for options, sentence in self._in_turn(choice)
            for question in self._ask_set_back(series, options, sentence)
        ]

    def ask_set(self, series: str, options: OptionSet, sentence: str) -> list[Question]:
        """Ask each fact of a set by ``sentence``, which holds ``{subject}`` and ``{object}``."""
        head, _ = sentence.split("{object}")
        facts = [self.facts[index] for index in options.facts]
        questions = []
        for answer, (index, fact) in enumerate(zip(options.facts, facts, strict=True)):
            prefix = head.replace("{subject}", fact.subject)
            texts = tuple(render(sentence, fact, other.object)[len(prefix) :] for other in facts)
            questions.append(Question(index, prefix, texts, answer, series, options.relation, options.facts))
        return questions

    def _ask_set_back(self, series: str, options: OptionSet, sentence: str) -> list[Question]:
        head, _ = sentence.split("{subject}")
        facts = [self.facts[index] for index in options.facts]
        questions = []
        for answer, (index, fact) in enumerate(zip(options.facts, facts, strict=True)):
            prefix = head.replace("{object}", fact.object)
            texts = tuple(render(sentence, other, fact.object)[len(prefix) :] for other in facts)
            mates = options.facts
            questions.append(Question(index, prefix, texts, answer, series, options.relation, mates, asks="subject"))
        return questions

    def _in_turn(self, choice: Callable[[Templates], Sequence[str]]) -> Iterator[tuple[OptionSet, str]]:
        """Yield the sets that have a sentence, each with ``wordings`` of those of its relation, one after the other."""
        for number, options in enumerate(self.sets, start=mix(self.seed)):
            sentences = choice(self.templates_of(options.relation))
            for turn in range(min(self.wordings, len(sentences))):
                yield options, sentences[(number + turn) % len(sentences)]


@dataclass
class TemplateProbe:
    """A probe kind that asks by some of the relation's own sentences."""

    name: str
    choice: Callable[[Templates], Sequence[str]]

    def questions(self, maker: QuestionMaker) -> list[Question]:
        """Return the questions of all facts, except of relations without such a sentence."""
        return maker.ask(self.name, self.choice)


class ReversedProbe:
    """A probe kind that tells the object and asks for the subject."""

    name = "reversed"

    def questions(self, maker: QuestionMaker) -> list[Question]:
        """Return the questions of all facts, except of relations without a sentence for it."""
        return maker.ask_back(self.name, lambda templates: templates.object_first)


BUILT_IN = (
    TemplateProbe("held_out", lambda templates: templates.held_out),
    TemplateProbe("question", lambda templates: templates.questions),
    ReversedProbe(),
    TemplateProbe("seen", lambda templates: templates.statements[:1]),
)


def by_series(questions: Iterable[Question]) -> dict[str, list[Question]]:
    """Return the questions of each series, in the order in which series are first met."""
    found: dict[str, list[Question]] = {}
    for question in questions:
        found.setdefault(question.series, []).append(question)
    return found


def passage_facts(passages: Sequence[Passage]) -> list[Fact]:
    """Return what can be asked of documents: how the beginning of a passage goes on.

    The subject is the first 12 to 30 words with the space after them, the object the 8 words that follow. Passages of
    fewer than 20 words are left out.
    """
    facts = []
    for passage in passages:
        words = list(islice(re.finditer(r"\S+", passage.text), _PREFIX[1] + _CONTINUATION))
        told = len(words) - _CONTINUATION
        if told >= _PREFIX[0]:
            start, end = words[told].start(), words[-1].end()
            facts.append(Fact(passage.text[:start], PASSAGE, passage.text[start:end], passage.id))
    return facts


def passage_templates(relation: str) -> Templates:
    """Return the one sentence of ``PASSAGE``: the text as it was infused."""
    assert relation == PASSAGE, relation
    return Templates(("{subject}{object}",))
