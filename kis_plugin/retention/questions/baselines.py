"""The frequency baseline: the score of answering by how often each object occurs, without looking at the subject.

Where the baseline is above chance, part of a series can be answered without knowing its facts. In balanced option sets
that cannot be: of the facts that share their options the baseline is right about one at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import binomtest

from kis_plugin.knowledge.facts import Fact
from kis_plugin.retention.questions.question import Question
from kis_plugin.storage.unicode_forms import folded

__all__ = [
    "Counts", "above_chance", "baseline_scores", "ceiling_of", "mean_baseline", "object_counts", "right_counts",
    "subject_counts", "with_baseline",
]  # fmt: skip

UNLIKELY = 0.001
"""A baseline above chance is reported if chance reaches as much with a smaller probability."""

Counts = Mapping[tuple[str, str], int]
"""How often each name occurs: by relation, and name in lower case."""


def object_counts(facts: Sequence[Fact]) -> Counts:
    """Count the objects of facts, separately for each relation."""
    return Counter((fact.relation, folded(fact.object)) for fact in facts)


def subject_counts(facts: Sequence[Fact]) -> Counts:
    """Count the subjects of facts, separately for each relation: the baseline for questions about subjects."""
    return Counter((fact.relation, folded(fact.subject)) for fact in facts)


def right_counts(questions: Sequence[Question]) -> Counts:
    """Count the right options of questions, separately for each relation: the baseline where there are no facts."""
    return Counter((question.relation, folded(question.options[question.answer])) for question in questions)


def with_baseline(question: Question, facts: Sequence[Fact], counts: Counts) -> Question:
    """Return a question with its baseline score: 1 if the right option is the most frequent one, 0 if not, or a tie.

    Args:
        question: One with options. Without a choice, or with its score filled in, it is returned as it is.
        facts: What its ``fact`` is an index into.
        counts: How often each possible target occurs, objects or subjects.
    """
    if len(question.options) < 2 or not np.isnan(question.frequency_baseline):
        return question
    frequencies = [counts.get((question.relation, folded(name)), 0) for name in _names(question, facts)]
    right = frequencies.pop(question.answer)
    return replace(question, frequency_baseline=float(right > max(frequencies)))


def _names(question: Question, facts: Sequence[Fact]) -> list[str]:
    """Return the name that each option begins with: what follows it is the same in all of them."""
    right = question.options[question.answer]
    known = getattr(facts[question.fact], question.target) if question.fact < len(facts) else ""
    rest = right[len(known) :] if known and right.startswith(known) else ""
    return [option.removesuffix(rest) for option in question.options]


def mean_baseline(questions: Sequence[Question]) -> float | None:
    """Return the share of questions that the baseline answers rightly; None where it is not known."""
    mean = float(np.mean([question.frequency_baseline for question in questions]))
    return None if np.isnan(mean) else mean


def baseline_scores(series: Mapping[str, Sequence[Question]]) -> dict[str, float]:
    """Return the baseline's accuracy on each series; without the series where it is not known."""
    means = {name: mean_baseline(questions) for name, questions in series.items()}
    return {name: mean for name, mean in means.items() if mean is not None}


def ceiling_of(question: Question) -> float:
    """Return the best possible score: 0 where the right option reads the same as another."""
    return float(question.options.count(question.options[question.answer]) == 1)


def above_chance(series: Mapping[str, Sequence[Question]]) -> list[str]:
    """Return a warning for each series on which the baseline is significantly above chance, one line each.

    The test is the one-sided exact binomial test against the mean chance of the series.
    """
    lines = []
    for name, score in baseline_scores(series).items():
        chance = float(np.mean([1 / len(question.options) for question in series[name]]))
        facts = len({question.fact for question in series[name]})  # the baseline answers all questions of a fact alike
        if binomtest(round(score * facts), facts, chance, alternative="greater").pvalue < UNLIKELY:
            lines.append(
                f"warning: series {name}: answering by object frequency alone scores {score:.3f}, above chance "
                f"({chance:.3f}). Compare its accuracy with this frequency baseline, not with chance"
            )
    return lines
