"""Questions at each point of a run whose knowledge changes."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.config.schema import Config, ProbesConfig, RetentionConfig
from kis_plugin.knowledge.fact_codes import coded
from kis_plugin.knowledge.facts import Fact, Knowledge, Templates
from kis_plugin.knowledge.validity import Validity
from kis_plugin.retention.questions.question_builder import QuestionBuilder
from kis_plugin.retention.questions.superseded import superseded
from kis_plugin.tokenized.infusion_split import InfusionSplit

TEMPLATES = Templates(
    ("{subject} lives in {object}.", "The home of {subject} is {object}.", "{object} is home to {subject}.")
)
NONE = np.empty(0, dtype=np.int64)


class Book:
    def of(self, relation):
        return TEMPLATES

    def domains_of(self, relation):
        return ()

    def noun(self, relation):
        return relation


def moving(count, at=0.5, towns=12):
    """People who live in one town, and move to the next at ``at``; every third stays."""
    facts = []
    for number in range(count):
        old, new = f"Town{number % towns}", f"Town{(number + 1) % towns}"
        if number % 3 == 0:
            facts.append(Fact(f"Person{number}", "home", old, f"{number}"))
        else:
            facts.append(Fact(f"Person{number}", "home", old, f"{number}a", 0.0, at))
            facts.append(Fact(f"Person{number}", "home", new, f"{number}b", at, 1.0))
    return tuple(facts)


def builder_of(facts, infused=None, control=NONE, known=NONE, limit=1000, kinds=("held_out",)):
    config = Config(Path("facts.jsonl"), retention=RetentionConfig(probes=ProbesConfig(facts=limit, kinds=kinds)))
    infused = np.setdiff1d(np.arange(len(facts)), control) if infused is None else infused
    return QuestionBuilder(config, InfusionSplit(Knowledge(facts), Book(), infused, control), infused, known)


def of_series(questions, series):
    return [question for question in questions if question.series == series]


def object_of(option):
    return option.split()[0].strip(".")


@pytest.mark.parametrize("at", [0.0, 0.2, 0.5])
def test_before_the_change_the_old_object_is_right(at):
    facts = moving(60)
    questions = builder_of(facts).questions(at, [])
    assert of_series(questions, "replaced") == []
    probed = of_series(questions, "held_out")
    assert len(probed) == 60
    assert all(facts[question.fact].until == 0.5 or facts[question.fact].id.isdigit() for question in probed)


@pytest.mark.parametrize("at", [0.5001, 0.75, 1.0])
def test_after_the_change_the_new_object_is_right(at):
    facts = moving(60)
    questions = builder_of(facts).questions(at, [])
    for series in ("held_out", "seen"):
        probed = of_series(questions, series)
        assert len(probed) == 60
        for question in probed:
            fact = facts[question.fact]
            assert fact.start == 0.5 or fact.id.isdigit()
            assert object_of(question.options[question.answer]) == fact.object


@pytest.mark.parametrize("at", [0.3, 0.9])
def test_option_sets_are_balanced_among_valid_facts(at):
    facts = moving(60)
    builder = builder_of(facts)
    held = {facts[index] for index in builder.validity.holding(np.arange(len(facts)), at).tolist()}
    true = {(fact.subject, fact.object) for fact in held}
    olds = 0
    for mates in {question.option_set for question in of_series(builder.questions(at, []), "held_out")}:
        four = [facts[index] for index in mates]
        assert len({fact.object for fact in four}) == 4
        for one, other in product(four, four):
            assert one is other or (one.subject, other.object) not in true
            olds += any(f.subject == one.subject and f.object == other.object for f in facts if f not in held)
    assert olds or at < 0.5  # what was true before may stand among the wrong options


def test_superseded_probes_offer_new_and_old():
    facts = moving(60)
    probed = of_series(builder_of(facts).questions(0.8, []), "replaced")
    assert len(probed) == 40
    by_id = {fact.id: fact for fact in facts}
    for question in probed:
        new = facts[question.fact]
        old = by_id[new.id.replace("b", "a")]
        assert [object_of(option) for option in question.options] == [new.object, old.object]
        assert question.answer == 0
        assert question.prefix + question.options[0] in {
            statement.format(subject=new.subject, object=new.object) for statement in TEMPLATES.held_out
        }


def test_an_old_object_that_is_true_again_is_no_option():
    facts = (
        Fact("A", "home", "Rome", "1", 0.0, 0.4), Fact("A", "home", "Oslo", "2", 0.4, 1.0),
        Fact("A", "home", "rome", "3", 0.6, 1.0),
        Fact("B", "home", "Lima", "4", 0.0, 0.4), Fact("B", "home", "Baku", "5", 0.4, 1.0),
        Fact("B", "work", "Baku", "6", 0.0, 1.0),
    )  # fmt: skip
    periods = InfusionSplit(Knowledge(facts), Book(), NONE, NONE).changing
    new = np.array([1, 2, 4])
    assert superseded(coded(facts), periods, new, 0.5).tolist() == [[1, 0], [4, 3]]
    assert superseded(coded(facts), periods, new, 0.9).tolist() == [[4, 3]]


def test_controls_stay_the_same_during_the_run():
    facts = moving(90)
    control = np.array([index for index, fact in enumerate(facts) if int(fact.id.strip("ab")) < 24])
    builder = builder_of(facts, control=control)
    probed = [of_series(builder.questions(at, []), "control") for at in (0.0, 0.4, 0.6, 1.0)]
    assert len(probed[0]) == 24
    assert all(other == probed[0] for other in probed)
    assert all(facts[question.fact].start == 0 for question in probed[0])


def test_known_facts_are_a_series_of_their_own():
    facts = moving(60)
    known = np.arange(40)
    builder = builder_of(facts, infused=np.arange(40, len(facts)), known=known)
    questions = builder.questions(0.2, [])
    assert {question.fact for question in of_series(questions, "known")} <= set(range(40))
    assert len(of_series(questions, "known")) >= 16
    assert all(question.fact >= 40 for question in of_series(questions, "held_out"))


def test_no_questions_before_any_fact_is_valid():
    facts = tuple(Fact(f"P{number}", "home", f"Town{number % 8}", str(number), 0.5, 1.0) for number in range(40))
    notes: list[str] = []
    questions = builder_of(facts).questions(0.1, notes)
    assert questions == []
    assert any("no option set can be formed from the facts that hold at 0.1" in note for note in notes)
    assert len(of_series(builder_of(facts).questions(0.6, []), "held_out")) == 40


def test_limits_hold_for_each_series():
    questions = builder_of(moving(300), limit=40).questions(0.9, [])
    for series in ("held_out", "seen", "replaced"):
        assert len(of_series(questions, series)) == 40


def test_reversed_probes_use_the_valid_object():
    facts = moving(60)
    probed = of_series(builder_of(facts, kinds=("held_out", "reversed")).questions(0.8, []), "reversed")
    assert len(probed) == 60
    for question in probed:
        fact = facts[question.fact]
        assert fact.until == 1
        assert question.prefix.startswith(fact.object)
        assert question.options[question.answer] == f"{fact.subject}."
    assert len({question.options for question in probed}) == 15


def test_two_hop_chains_use_valid_facts():
    facts = (*moving(60), *(Fact(f"Town{number}", "mayor", f"Mayor{number}") for number in range(12)))
    builder = builder_of(facts, kinds=("two_hop", "held_out"))
    for at, moved in ((0.2, 0), (0.9, 1)):
        probed = of_series(builder.questions(at, []), "two_hop")
        assert len(probed) == 60
        for question in probed:
            person = int(question.prefix.removeprefix("The mayor of the home of Person").removesuffix(" is "))
            mayor = (person + moved * (person % 3 > 0)) % 12
            assert question.options[question.answer] == f"Mayor{mayor}."


def test_no_chains_is_noted_and_controls_are_kept():
    facts, notes = moving(90), []
    control = np.array([index for index, fact in enumerate(facts) if int(fact.id.strip("ab")) < 24])
    questions = builder_of(facts, control=control, kinds=("two_hop", "held_out")).questions(0.2, notes)
    assert {question.series for question in questions} == {"held_out", "seen", "control"}
    (note,) = [note for note in notes if "two_hop" in note]
    assert note.startswith("warning: series two_hop: no questions: no 4 chains of infused facts")


TENTHS = st.integers(0, 10).map(lambda tenth: tenth / 10)


@given(st.lists(st.tuples(TENTHS, TENTHS).filter(lambda pair: pair[0] < pair[1]), min_size=1), TENTHS, TENTHS)
def test_the_same_facts_are_valid_within_a_phase(pairs, one, other):
    periods = Validity((np.array([start for start, _ in pairs]), np.array([until for _, until in pairs])))
    every = np.arange(len(pairs))
    if periods.phase(one) == periods.phase(other):
        assert periods.holding(every, one).tolist() == periods.holding(every, other).tolist()
    expected = [place for place, (start, until) in enumerate(pairs) if start < one <= until or start == one == 0]
    assert periods.holding(every, one).tolist() == expected


def test_unchanging_knowledge_has_one_phase():
    periods = Validity(None)
    assert {periods.phase(at) for at in (0.0, 0.5, 1.0)} == {0}
    assert periods.holding(np.arange(3), 0.5).tolist() == [0, 1, 2]
