"""What the null scores: whoever knows how often each object is told, and never looks at the subject.

A series whose null is above its chance can be answered in part without any knowledge of its facts. In balanced sets it
cannot be: of the facts that share their options the null is right for one at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import binomtest

from kis_plugin.knowledge.facts import Fact
from kis_plugin.retention.probes import Question

__all__ = [
    "above_chance",
    "baseline_scores",
    "ceiling_of",
    "object_counts",
    "right_counts",
    "subject_counts",
    "with_baseline",
]

UNLIKELY = 0.001
"""A null above chance is said if chance reaches as much with a smaller probability."""

Counts = Mapping[tuple[str, str], int]
"""How often each name is told: by relation, and name in lower case."""


def object_counts(facts: Sequence[Fact]) -> Counts:
    """Count the objects of facts, each relation by itself."""
    return Counter((fact.relation, fact.object.casefold()) for fact in facts)


def subject_counts(facts: Sequence[Fact]) -> Counts:
    """Count the subjects of facts, each relation by itself: what questions are answered by that ask for a subject."""
    return Counter((fact.relation, fact.subject.casefold()) for fact in facts)


def right_counts(questions: Sequence[Question]) -> Counts:
    """Count the right options of questions, each relation by itself: what is known where no facts are."""
    return Counter((question.relation, question.options[question.answer].casefold()) for question in questions)


def with_baseline(question: Question, facts: Sequence[Fact], counts: Counts) -> Question:
    """Return a question with what the null scores on it: 1 if the right object is told oftenest, 0 if not, or a tie.

    Args:
        question: One with options; without a choice, or with its null told, it is returned as it is.
        facts: What its ``fact`` is an index into.
        counts: How often that is told which it asks for, objects or subjects.
    """
    if len(question.options) < 2 or not np.isnan(question.null):
        return question
    told = [counts.get((question.relation, name.casefold()), 0) for name in _names(question, facts)]
    right = told.pop(question.answer)
    return replace(question, null=float(right > max(told)))


def _names(question: Question, facts: Sequence[Fact]) -> list[str]:
    """Return the name that each option begins with: what follows it is the same in all of them."""
    right = question.options[question.answer]
    known = getattr(facts[question.fact], question.asks) if question.fact < len(facts) else ""
    rest = right[len(known) :] if known and right.startswith(known) else ""
    return [option.removesuffix(rest) for option in question.options]


def baseline_scores(series: Mapping[str, Sequence[Question]]) -> dict[str, float]:
    """Return the share of each series' questions that the null answers rightly; without those where it is not known."""
    means = {name: float(np.mean([question.null for question in asked])) for name, asked in series.items()}
    return {name: mean for name, mean in means.items() if not np.isnan(mean)}


def ceiling_of(question: Question) -> float:
    """Return what a model that knows everything scores: 0 where the right option reads the same as another."""
    return float(question.options.count(question.options[question.answer]) == 1)


def above_chance(series: Mapping[str, Sequence[Question]]) -> list[str]:
    """Say which series the null answers better than chance would, but for one time in a thousand."""
    lines = []
    for name, score in baseline_scores(series).items():
        chance = float(np.mean([1 / len(question.options) for question in series[name]]))
        facts = len({question.fact for question in series[name]})  # the null answers all questions of a fact alike
        if binomtest(round(score * facts), facts, chance, alternative="greater").pvalue < UNLIKELY:
            lines.append(
                f"warning: series {name}: whoever knows only how often each object is told answers {score:.3f} of it, "
                f"above chance ({chance:.3f}). Compare it with its floor"
            )
    return lines
