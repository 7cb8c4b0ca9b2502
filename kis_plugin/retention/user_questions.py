"""The user's own questions (``retention.qa``), as questions with options and as such to be answered freely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kis_plugin.free_form.probes import freely
from kis_plugin.hashing import mix
from kis_plugin.knowledge.fact_codes import sample
from kis_plugin.knowledge.facts import Fact, Templates
from kis_plugin.knowledge.sources.qa import UserQuestion
from kis_plugin.retention.distractors import option_sets
from kis_plugin.retention.probes import Question, QuestionMaker

__all__ = ["QA", "QA_ANSWER", "own_questions"]

QA = "qa"
QA_ANSWER = "qa_answer"
_SENTENCE = "{subject} {object}"
_SEED = 53


def own_questions(
    asked: Sequence[UserQuestion], series: str, options: int, limit: int, seed: int, notes: list[str]
) -> list[Question]:
    """Make the questions of both series.

    Every question with options has exactly so many: the first wrong ones of its own, or, if it names none, the answers
    of a balanced set of questions of its topic.

    Args:
        asked: What the user's file holds.
        series: What the series with options is called.
        options: Options of a question.
        limit: At most so many are asked, evenly spread over the file.
        seed: Chooses among equals.
        notes: Takes what the user should know of, one line each.
    """
    some = [asked[place] for place in sample(len(asked), limit, seed, _SEED).tolist()]
    facts = [Fact(own.question, own.topic or QA, own.answer, aliases=own.aliases) for own in some]
    alone = np.array([place for place, own in enumerate(some) if not own.options], dtype=np.int64)
    sets = option_sets(facts, alone, options, len(alone), mix(seed, _SEED))
    maker = QuestionMaker(facts, sets.sets, lambda relation: Templates((_SENTENCE,)), seed)
    chosen = maker.ask(series, lambda templates: templates.statements)
    for place, own in enumerate(some):
        if len(own.options) >= options - 1:
            texts = (own.answer, *own.options[: options - 1])
            chosen.append(Question(place, f"{own.question} ", texts, 0, series, facts[place].relation, (place,)))
    if len(chosen) < len(some):
        short = sum(0 < len(own.options) < options - 1 for own in some)
        why = [f"{short} of them name fewer than {options - 1} wrong options"] if short else []
        why += [f"{topic}: {reason}" for topic, reason in list(sets.left_out.items())[:3]]
        left = f"{len(some) - len(chosen)} of {len(some)} questions of your own have no {options} options"
        notes.append(f"warning: series {series}: {left} ({'; '.join(why) or 'no balanced set has room for them'})")
    if len(some) < len(asked):
        notes.append(f"{len(some)} of {len(asked)} questions of your own are asked: retention.probes.facts")
    mates = {question.fact: question.mates for question in chosen}
    for place, fact in enumerate(facts):
        together = mates.get(place, (place,))
        question = Question(place, f"{fact.subject} ", (fact.object,), 0, QA_ANSWER, fact.relation, together)
        chosen.append(freely(question, fact))
    return chosen
