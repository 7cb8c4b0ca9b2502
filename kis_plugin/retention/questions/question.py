"""A probe question: a prefix, its possible continuations, and which of them is right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import nan

from kis_plugin.knowledge.facts import Fact

__all__ = ["FREE_FORM", "OPTIONS", "Question", "by_series", "free_form_question"]

OPTIONS = "options"
"""The scorer of multiple-choice questions."""
FREE_FORM = "free_form"
"""The scorer of questions that the model answers in its own words."""


@dataclass(frozen=True)
class Question:
    """A sentence up to its object, and its possible continuations.

    The prefix may lack the subject or be empty, where a template puts the object first. Each option then contains the
    subject, and the comparison is between the probabilities of the whole sentence from the object on. A question for
    the subject has the sentence up to the subject as its prefix, and subjects as its options.

    Attributes:
        fact: Index of the fact, among the facts that the question was made from. A question about no single fact has
            a number beyond them.
        prefix: The sentence up to its object, spaces included.
        options: For each possible object, the object and the rest of the sentence.
        answer: Index of the right option.
        series: The probe series it belongs to.
        relation: The relation of the fact.
        option_set: The facts whose questions share these options, its own included. A budget or a row limit keeps or
            drops the questions of a set together.
        source: Which facts ``fact`` and ``option_set`` are indices into; empty for those of the run's knowledge.
        domains: What the relation is about. The question builder fills it in.
        frequency_baseline: Score of ``retention.questions.baselines`` on it; NaN where it is not known. The question
            builder fills it in.
        target: What the options begin with: ``object``, or ``subject`` where the prefix contains the object.
        accepted: For a free-form question, all right answers: the object, as the one option begins, the other objects
            that are true of the subject, and the aliases of all of them.
        objects: How many of ``accepted``, from the first on, are objects themselves; the rest are aliases.
        template: Number of the template among those of its relation, from 0; -1 where there is none.
        scorer: Name of the registered answer scorer that evaluates it.
    """

    fact: int
    prefix: str
    options: tuple[str, ...]
    answer: int
    series: str
    relation: str = ""
    option_set: tuple[int, ...] = ()
    source: str = ""
    domains: tuple[str, ...] = ()
    frequency_baseline: float = nan
    target: str = "object"
    accepted: tuple[str, ...] = ()
    objects: int = 1
    scorer: str = OPTIONS
    template: int = -1


def free_form_question(question: Question, true: Sequence[Fact]) -> Question:
    """Return a question with options as one that is answered freely: its right option becomes the draft of the answer.

    Args:
        question: About the first of the facts.
        true: All facts whose object is a right answer.
    """
    objects = tuple(dict.fromkeys(fact.object for fact in true))
    aliases = (alias for fact in true for alias in fact.aliases)
    return replace(
        question,
        options=(question.options[question.answer],),
        answer=0,
        accepted=tuple(dict.fromkeys((*objects, *aliases))),
        objects=len(objects),
        scorer=FREE_FORM,
    )


def by_series(questions: Iterable[Question]) -> dict[str, list[Question]]:
    """Return the questions of each series, in the order in which series first occur."""
    found: dict[str, list[Question]] = {}
    for question in questions:
        found.setdefault(question.series, []).append(question)
    return found
