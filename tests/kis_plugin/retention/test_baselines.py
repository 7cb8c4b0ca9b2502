"""The frequency baseline knows how often each object occurs, and nothing of subjects."""

from collections import Counter
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.config.schema import Config, ProbesConfig, RetentionConfig
from kis_plugin.knowledge.facts import Fact, Knowledge, Templates
from kis_plugin.retention.questions.baselines import (
    above_chance,
    baseline_scores,
    ceiling_of,
    object_counts,
    subject_counts,
    with_baseline,
)
from kis_plugin.retention.questions.distractors import option_sets
from kis_plugin.retention.questions.question import Question, by_series
from kis_plugin.retention.questions.question_builder import QuestionBuilder
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.tokenized.infusion_split import InfusionSplit

TEMPLATES = Templates(
    ("{subject} lives in {object}.", "{object} is home to {subject}.", "{subject}, who is from {object}, {subject}.")
)


class Book:
    def of(self, relation):
        return TEMPLATES

    def domains_of(self, relation):
        return ()

    def noun(self, relation):
        return relation


def question_on(options, answer, fact=0, relation="home"):
    return Question(fact, "Ada lives in ", options, answer, "held_out", relation)


FACTS = [Fact("Ada", "home", "Rome"), *[Fact(f"P{n}", "home", town) for n, town in enumerate(["Rome", "Bonn", "Ulm"])]]
FACTS += [Fact(f"Q{n}", "other", "Bonn") for n in range(9)]  # another relation's objects do not count


def test_baseline_answers_with_the_most_frequent_object():
    counts = object_counts(FACTS)
    assert with_baseline(question_on(("Bonn.", "Rome."), 1), FACTS, counts).frequency_baseline == 1
    assert with_baseline(question_on(("Rome.", "Bonn."), 1, fact=2), FACTS, counts).frequency_baseline == 0


def test_a_tie_of_the_baseline_is_wrong():
    assert with_baseline(question_on(("Bonn.", "Ulm."), 0, fact=2), FACTS, object_counts(FACTS)).frequency_baseline == 0
    assert with_baseline(question_on(("Oslo.", "Lima."), 0, fact=99), FACTS, {}).frequency_baseline == 0


def test_baseline_of_reversed_questions_counts_subjects():
    facts = [Fact("Rome United", "plays in", "Rome"), Fact("Oslo", "plays in", "Ulm"), Fact("Oslo", "plays in", "Bonn")]
    options = ("Rome United.", "Oslo.")
    back = [Question(place, "", options, place, "reversed", "plays in", target="subject") for place in (0, 1)]
    assert [with_baseline(question, facts, subject_counts(facts)).frequency_baseline for question in back] == [0, 1]


def test_baseline_of_balanced_kinds_is_at_most_chance():
    facts = tuple(Fact(f"P{n}", "home", f"T{min(n % 12, 7)}") for n in range(120))
    facts += tuple(Fact(f"T{n}", "mayor", f"M{min(n, 5)}") for n in range(12))
    facts += tuple(Fact(f"P{n}", "friend", f"P{(n * k + 1) % 40}") for n in range(40) for k in (1, 2, 3)[: 1 + n % 3])
    facts = tuple(dict.fromkeys(facts))
    probes = ProbesConfig(kinds=("reversed", "two_hop", "held_out"))
    config = Config(Path("facts.jsonl"), retention=RetentionConfig(probes=probes))
    infused, none = np.arange(len(facts)), np.empty(0, dtype=np.int64)
    notes: list[str] = []
    questions = QuestionBuilder(
        config, InfusionSplit(Knowledge(facts), Book(), infused, none), infused, none
    ).questions(0.0, notes)
    scores = baseline_scores(by_series(questions))
    assert {"reversed", "two_hop"} <= scores.keys()
    assert 0 < scores["reversed"] <= 0.25
    assert 0 < scores["two_hop"] <= 0.25
    assert not any("above chance" in note for note in notes)


def test_case_makes_no_other_object():
    counts = object_counts([*FACTS, Fact("Z", "home", "ROME")])
    assert counts["home", "rome"] == 3


def test_text_after_the_object_is_not_part_of_its_name():
    question = Question(0, "", ("Bonn is home to Ada.", "Rome is home to Ada."), 1, "held_out", "home")
    assert with_baseline(question, FACTS, object_counts(FACTS)).frequency_baseline == 1


def test_a_known_baseline_is_kept():
    alone = question_on(("Rome.",), 0)
    assert isnan(with_baseline(alone, FACTS, object_counts(FACTS)).frequency_baseline)
    known = Question(0, "", ("Rome.", "Bonn."), 0, "held_out", "home", frequency_baseline=0.0)
    assert with_baseline(known, FACTS, object_counts(FACTS)) is known


@given(st.lists(st.integers(0, 7), min_size=8, max_size=120), st.integers(2, 5), st.sampled_from(TEMPLATES.statements))
@settings(max_examples=60, deadline=None)
def test_baseline_is_right_once_a_balanced_set_at_most(objects, options, sentence):
    facts = [Fact(f"P{number}", "home", f"Town{town}") for number, town in enumerate(objects)]
    sets = option_sets(facts, np.arange(len(facts)), options, 1000, 1).sets
    questions = QuestionMaker(facts, sets, lambda relation: TEMPLATES, 0).for_objects(
        "held_out", lambda found: [sentence]
    )
    counts = object_counts(facts)
    scored = [with_baseline(question, facts, counts) for question in questions]
    # By hand: of the facts of a set, the one whose object alone is most frequent.
    often = Counter(fact.object for fact in facts)
    for at in range(0, len(scored), options):
        counts_of_set = sorted(often[facts[one.fact].object] for one in scored[at : at + options])
        assert sum(one.frequency_baseline for one in scored[at : at + options]) == (
            counts_of_set[-1] > counts_of_set[-2]
        )
    assert above_chance({"held_out": scored} if scored else {}) == []


def test_a_baseline_above_chance_is_warned_of():
    skewed = [Fact(f"P{n}", "home", "Rome" if n % 8 else f"Town{n}") for n in range(80)]
    questions = [
        with_baseline(Question(n, "", (f"{fact.object}.", "Oslo."), 0, "mine", "home"), skewed, object_counts(skewed))
        for n, fact in enumerate(skewed)
    ]
    assert baseline_scores({"mine": questions}) == {"mine": 1.0}
    (line,) = above_chance({"mine": questions})
    assert line.startswith("warning: series mine: answering by object frequency alone scores 1.000")


def test_an_unknown_baseline_gives_no_score():
    assert baseline_scores({"recall": [question_on(("Rome.",), 0)]}) == {}
    assert above_chance({"recall": [question_on(("Rome.",), 0)]}) == []


@pytest.mark.parametrize(("options", "ceiling"), [(("a", "b"), 1.0), (("b", "a", "a"), 1.0), (("a", "b", "a"), 0.0)])
def test_ceiling_is_lower_where_two_options_read_alike(options, ceiling):
    assert ceiling_of(question_on(options, 0)) == ceiling


def test_every_question_of_a_run_has_its_baseline():
    facts = tuple(Fact(f"P{n}", "home", f"Town{min(n % 9, 5)}", str(n)) for n in range(90))
    config = Config(Path("facts.jsonl"), retention=RetentionConfig(probes=ProbesConfig(facts=40)))
    infused, control = np.arange(10, 90), np.arange(10)
    questions = QuestionBuilder(
        config, InfusionSplit(Knowledge(facts), Book(), infused, control), infused, infused[:0]
    ).questions(0.0, [])
    often = Counter(facts[place].object for place in infused.tolist())
    for question in questions:
        others = [often[facts[mate].object] for mate in question.option_set if mate != question.fact]
        assert question.frequency_baseline == float(often[facts[question.fact].object] > max(others))
    assert set(baseline_scores(by_series(questions))) == {question.series for question in questions}
