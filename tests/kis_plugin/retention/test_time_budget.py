"""The time budget: never exceeded, always the same facts, the same after a resume."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.time_budget import TimeBudget, cut_order
from kis_plugin.run.ranks import Ranks


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def spend(budget, clock, trained, whole, ranks=None):
    """Train for some seconds, then evaluate at a speed; return the part probed."""
    clock.now += trained
    part = budget.begin(ranks or Ranks())
    clock.now += whole * part
    budget.end()
    return part


def evaluated(max_cost, trained, whole, least=0.01, points=10):
    clock = Clock()
    budget = TimeBudget(max_cost, least, clock=clock)
    return [spend(budget, clock, 5.0 if not point else trained, whole) for point in range(points + 1)], budget


def test_cheap_evaluations_are_complete():
    parts, budget = evaluated(0.02, trained=1000, whole=5)
    assert parts == [1.0] * 11
    assert not budget.exceeded


@given(st.floats(0.001, 0.5), st.floats(1, 1e5), st.floats(0.01, 1e4))
def test_the_cost_stays_below_the_budget(max_cost, trained, whole):
    assume(abs(max_cost * trained / whole - 1) > 1e-3)  # just enough for all: rounding decides
    parts, _ = evaluated(max_cost, trained, whole, least=1e-6)
    assert parts[0] == 1.0  # nothing was trained by then
    assert len(set(parts[1:])) == 1  # steady speeds: one part for all of the run
    spent = sum(parts[1:]) * whole
    assert spent <= max_cost * trained * 10 * (1 + 1e-6) or parts[1] <= 2e-6
    assert parts[1] == 1.0 or spent >= 0.8 * max_cost * trained * 10 or parts[1] <= 2e-6


def test_the_part_only_shrinks_when_needed():
    clock = Clock()
    budget = TimeBudget(0.02, 0.01, clock=clock)
    parts = [spend(budget, clock, 100, seconds) for seconds in (10, 10, 10, 30, 30, 5, 5)]
    assert parts == sorted(parts, reverse=True)
    assert parts[1] == parts[2] == pytest.approx(0.18, rel=0.01)
    assert parts[5] == parts[6]


def test_the_least_part_is_kept_and_reported():
    parts, budget = evaluated(0.01, trained=1, whole=100, least=0.25)
    assert set(parts[1:]) == {0.25}
    assert budget.exceeded


def test_a_resumed_run_keeps_its_part():
    clock = Clock()
    whole = TimeBudget(0.02, 0.01, clock=clock)
    before = [spend(whole, clock, 100, 10) for _ in range(4)]
    kept = whole.state()
    clock.now += 10_000  # between the two
    resumed = TimeBudget(0.02, 0.01, kept, clock=clock)
    assert [spend(resumed, clock, 100, 10) for _ in range(4)] == [before[-1]] * 4


def test_ranks_evaluate_the_same_part():
    clock, slow = Clock(), Clock()
    first, other = TimeBudget(0.02, 0.01, clock=clock), TimeBudget(0.02, 0.01, clock=slow)
    said = []

    def of_rank_0(array):
        if array[0]:
            said.append(array)
        return said[-1]

    for _ in range(4):
        mine = spend(first, clock, 100, 10, Ranks(0, 2, of_rank_0))
        assert spend(other, slow, 70, 17, Ranks(1, 2, of_rank_0)) == mine


def questions(relations):
    return [
        Question(first + fact, "", ("a", "b"), fact, series, relation, (first, first + 1))
        for relation, sets in relations.items()
        for series in ("held_out", "seen")
        for first in range(0, 2 * sets, 2)
        for fact in (0, 1)
    ]


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 50), min_size=1), st.floats(0, 1), st.integers(0, 99))
def test_cuts_are_proportional_and_keep_sets_whole(relations, part, seed):
    probed = questions(relations)
    kept = [question for question, time in zip(probed, cut_order(probed, seed), strict=True) if time < part]
    for relation, sets in relations.items():
        counts = Counter(question.series for question in kept if question.relation == relation)
        assert counts["held_out"] == counts["seen"]
        assert abs(counts["held_out"] / 2 - part * sets) <= 0.5 + 1e-9
    facts = Counter((question.series, question.relation, question.option_set) for question in kept)
    assert set(facts.values()) <= {2}


def test_smaller_parts_are_subsets():
    probed = questions({"a": 40, "b": 7})
    times = cut_order(probed, 3)
    assert np.flatnonzero(times < 0.2).tolist() == [at for at in np.flatnonzero(times < 0.5) if times[at] < 0.2]
