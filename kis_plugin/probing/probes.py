"""Questions about facts: one right option, and why a sentence is asked from its object on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from kis_plugin.knowledge import Fact, Passage, Templates
from kis_plugin.probing.options import OptionSet
from kis_plugin.seeded import IntArray, mix
from kis_plugin.sentences import render

__all__ = ["BUILT_IN", "PASSAGE", "Question", "QuestionMaker", "TemplateProbe", "passage_facts", "passage_templates"]

PASSAGE = "passage"
"""The relation of a passage's beginning with what follows."""
_CONTINUATION = 8  # words
_PREFIX = (12, 30)  # words


@dataclass(frozen=True)
class Question:
    """A sentence told up to its object, and the ways it may go on.

    The prefix may lack the subject or be empty, where a template tells the object first: each option then holds the
    subject, and what is compared is the probability of all of the sentence from the object on.

    Attributes:
        fact: Index of the fact asked about, among those its maker had.
        prefix: The sentence up to its object, spaces included.
        options: For each object, the object and the rest of the sentence.
        answer: Index of the right option.
        series: The probe series it belongs to.
        relation: The relation asked about.
        mates: The facts asked with it, itself included: an option set stands and falls as one.
    """

    fact: int
    prefix: str
    options: tuple[str, ...]
    answer: int
    series: str
    relation: str = ""
    mates: tuple[int, ...] = ()


@dataclass(frozen=True)
class QuestionMaker:
    """What a probe kind makes its questions from.

    Attributes:
        facts: All facts; option sets hold indices into them.
        sets: The facts to ask, with their options.
        templates_of: The templates of a relation.
        seed: For choices of a probe kind's own.
        among: Indices of the facts to ask for a kind that needs no option sets, sorted.
        answer_spaces: The closed answer spaces that came with the knowledge, by relation.
        notes: Takes what the user should know of, one line each.
    """

    facts: Sequence[Fact]
    sets: Sequence[OptionSet]
    templates_of: Callable[[str], Templates]
    seed: int
    among: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    answer_spaces: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def ask(self, series: str, choice: Callable[[Templates], Sequence[str]]) -> list[Question]:
        """Ask every fact once.

        Args:
            series: The name of the series.
            choice: Which of a relation's sentences may be asked; none leaves the relation out. The facts of a set
                are asked by the same sentence (else the set would not be balanced), and sets take them in turn.
        """
        questions: list[Question] = []
        first = mix(self.seed)
        for number, options in enumerate(self.sets, start=first):
            sentences = choice(self.templates_of(options.relation))
            if sentences:
                questions += self.ask_set(series, options, sentences[number % len(sentences)])
        return questions

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


@dataclass
class TemplateProbe:
    """A probe kind that asks by some of the relation's own sentences."""

    name: str
    choice: Callable[[Templates], Sequence[str]]

    def questions(self, maker: QuestionMaker) -> list[Question]:
        """Return one question for each fact, except of relations without such a sentence."""
        return maker.ask(self.name, self.choice)


BUILT_IN = (
    TemplateProbe("held_out", lambda templates: templates.held_out),
    TemplateProbe("question", lambda templates: templates.questions),
    TemplateProbe("seen", lambda templates: templates.statements[:1]),
)


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
