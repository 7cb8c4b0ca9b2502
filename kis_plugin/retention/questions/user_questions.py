"""The user's own questions (``retention.qa``), each with answer options and once more to be answered freely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kis_plugin.hashing import mix
from kis_plugin.knowledge.fact_codes import sample
from kis_plugin.knowledge.facts import Fact, Templates
from kis_plugin.knowledge.sources.qa import UserQuestion
from kis_plugin.retention.questions.distractors import option_sets
from kis_plugin.retention.questions.question import Question, free_form_question
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.retention.series import QA, QA_ANSWER
from kis_plugin.storage.unicode_forms import folded

__all__ = ["user_questions"]

_TEMPLATE = "{subject} {object}"
_SEED = 53


def user_questions(
    given: Sequence[UserQuestion], series: str, options: int, limit: int, seed: int, notes: list[str]
) -> list[Question]:
    """Make the questions of both series: with options, and answered freely.

    Every question with options has exactly ``options`` of them. The wrong ones are the first of its own, or, if it
    names none, the answers of a balanced set of questions on its topic.

    Args:
        given: What the user's file holds.
        series: The name of the series with options.
        options: Options of a question.
        limit: The most questions, evenly spread over the file.
        seed: Chooses among equals.
        notes: Receives what the user should know, one line each.
    """
    some = [given[place] for place in sample(len(given), limit, seed, _SEED).tolist()]
    facts = [Fact(own.question, own.topic or QA, own.answer, aliases=own.aliases) for own in some]
    chosen, left_out = _with_options(some, facts, series, options, seed)
    if len(chosen) < len(some):
        short = sum(0 < len(own.options) < options - 1 for own in some)
        why = [f"{short} of them name fewer than {options - 1} wrong options"] if short else []
        why += left_out
        left = f"{len(some) - len(chosen)} of {len(some)} questions of your own have no {options} options"
        notes.append(f"warning: series {series}: {left} ({'; '.join(why) or 'no balanced set has room for them'})")
    if len(some) < len(given):
        notes.append(f"{len(some)} of {len(given)} questions of your own are evaluated: retention.probes.facts")
    sets = {question.fact: question.option_set for question in chosen}
    # The same question with several answers in the file has as many right answers.
    same: dict[str, list[Fact]] = {}
    for own in given:
        alike = same.setdefault(folded(own.question), [])
        alike.append(Fact(own.question, own.topic or QA, own.answer, aliases=own.aliases))
    free = [
        _answered_freely(place, fact, same[folded(fact.subject)], sets.get(place, (place,)))
        for place, fact in enumerate(facts)
    ]
    return [*chosen, *free]


def _with_options(
    some: Sequence[UserQuestion], facts: Sequence[Fact], series: str, options: int, seed: int
) -> tuple[list[Question], list[str]]:
    """Return the questions that have options, and why others have none."""
    without = np.array([place for place, own in enumerate(some) if not own.options], dtype=np.int64)
    sets = option_sets(facts, without, options, len(without), mix(seed, _SEED))
    maker = QuestionMaker(facts, sets.sets, lambda relation: Templates((_TEMPLATE,)), seed)
    chosen = maker.for_objects(series, lambda templates: templates.statements)
    for place, own in enumerate(some):
        if len(own.options) >= options - 1:
            texts = (own.answer, *own.options[: options - 1])
            chosen.append(Question(place, f"{own.question} ", texts, 0, series, facts[place].relation, (place,)))
    return chosen, [f"{topic}: {reason}" for topic, reason in list(sets.left_out.items())[:3]]


def _answered_freely(place: int, fact: Fact, alike: Sequence[Fact], option_set: tuple[int, ...]) -> Question:
    question = Question(place, f"{fact.subject} ", (fact.object,), 0, QA_ANSWER, fact.relation, option_set)
    return free_form_question(question, [fact, *alike])
