import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.knowledge.balanced_groups import HANDFUL, fitting_options
from kis_plugin.knowledge.control_split import split_control
from kis_plugin.knowledge.fact_codes import coded
from kis_plugin.knowledge.facts import Fact
from kis_plugin.retention.questions.distractors import option_sets

names = st.sampled_from([f"name {number}" for number in range(30)])
facts_with_cross_references = st.lists(
    st.builds(Fact, names, st.sampled_from(["P1", "P2", "P3"]), names), min_size=60, max_size=120
)


def graph(subjects, relations=5, objects=40):
    """Facts in which each subject has one object by each relation."""
    return [
        Fact(f"subject {number}", f"P{relation}", f"object {(number * 7 + relation * number**2) % objects}")
        for number in range(subjects)
        for relation in range(relations)
    ]


def split_or_reject(facts, *args):
    try:
        return split_control(facts, *args)
    except KISError:
        return None


@pytest.mark.filterwarnings("ignore:.*too few to hold any back:UserWarning")
@given(facts_with_cross_references, st.integers(4, 60), st.integers(0, 9))
def test_no_infused_fact_reveals_a_control(facts, count, seed):
    split = split_or_reject(facts, count, seed)
    if split is None:
        return
    infused, control = split
    assert sorted([*infused, *control]) == list(range(len(facts)))
    assert len(control) <= min(count, len(facts) // 5)
    assert len(control) != 1
    infused_facts = [facts[index] for index in infused]
    for index in control:
        fact = facts[index]
        assert fact.subject not in {other.subject for other in infused_facts}
        assert {fact.subject, fact.object} not in [{other.subject, other.object} for other in infused_facts]


@pytest.mark.filterwarnings("ignore:.*too few to hold any back:UserWarning")
@given(st.integers(20, 60), st.integers(1, 4), st.integers(4, 40), st.integers(4, 50), st.integers(0, 99))
def test_controls_are_distractors_for_each_other(subjects, relations, objects, count, seed):
    facts = graph(subjects, relations, objects)
    split = split_or_reject(facts, count, seed)
    if split is None:
        return
    # A handful of facts may be too few for 4 options anywhere: then controls are held back for the most that fit.
    options = fitting_options(coded(facts), np.arange(len(facts)), 4, seed)
    assert options == 4 or len(facts) <= HANDFUL
    if len(facts) > HANDFUL or len(split[1]):
        assert option_sets(facts, split[1], options, 10**6, seed).sets


def test_mutual_facts_stay_together():
    capitals = [Fact(f"city {n}", "capital of", f"land {n}") for n in range(50)]
    lands = [Fact(f"Land {n}", "capital", f"City {n}") for n in range(50)]
    _, control = split_control([*capitals, *lands], 20, 3)
    assert 16 <= len(control) <= 20
    numbers = Counter(int(index) % 50 for index in control)
    assert set(numbers.values()) == {2}


def test_the_count_is_met_in_proportion_to_relations():
    facts = [
        Fact(f"{r} {n}", r, f"o{n % 50}") for r, size in {"P1": 600, "P2": 300, "P3": 100}.items() for n in range(size)
    ]
    _, control = split_control(facts, 200, 0)
    held = Counter(facts[index].relation for index in control)
    assert held.total() == 200
    assert abs(held["P1"] - 120) <= 4
    assert abs(held["P2"] - 60) <= 4
    assert abs(held["P3"] - 20) <= 4


def test_subjects_with_several_facts_leave_usable_controls():
    facts = graph(subjects=1000)
    _, control = split_control(facts, 200, 0)
    assert len(control) == 200
    sets = option_sets(facts, control, 4, 200, 0).sets
    assert 4 * len(sets) >= 180


def test_a_fifth_is_the_most():
    _, control = split_control(graph(subjects=60, relations=1), 200, 0)
    assert len(control) == 12


def test_zero_controls_hold_nothing_back():
    infused, control = split_control(graph(subjects=5), 0, 0)
    assert infused.tolist() == list(range(25))
    assert control.tolist() == []
    assert [len(part) for part in split_control([], 200, 0)] == [0, 0]


def test_the_split_never_changes():
    """These very numbers must come from every platform and release: an infused fact once is infused for ever."""
    infused, control = split_control(graph(subjects=40, relations=1), 8, seed=7)
    assert control.tolist() == PINNED
    assert infused.dtype == control.dtype == np.int64


PINNED = [0, 12, 13, 19, 25, 26, 32, 38]


@pytest.mark.parametrize(
    ("facts", "count", "message"),
    [
        (graph(subjects=100), 3, "3 controls wanted"),
        (graph(subjects=100, objects=3), 20, "4 facts of one relation with distinct objects"),
        ([Fact("hub", "P1", f"o{n}") for n in range(101)], 20, "held back together"),
    ],
)
def test_an_impossible_split_is_refused_with_advice(facts, count, message):
    with pytest.raises(KISError, match=message) as refused:
        split_control(facts, count, 0)
    assert "Set retention.control: 0" in str(refused.value)


@pytest.fixture
def few_are_many(monkeypatch):
    monkeypatch.setattr("kis_plugin.knowledge.control_split.MANY", 200)


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize("seed", range(5))
def test_sampled_controls_are_not_revealed_by_infused_facts(seed):
    capitals = [Fact(f"city {n}", "capital of", f"land {n}") for n in range(1500)]
    lands = [Fact(f"Land {n}", "capital", f"City {n}") for n in range(1500)]
    rings = [Fact(f"r{n}", "next to", f"r{n + step}") for n in range(1, 600) for step in (-1, 1) if (n + step) % 4]
    facts = [*capitals, *lands, *rings]
    infused, control = split_control(facts, 20, seed)
    assert 12 <= len(control) <= 20
    assert sorted([*infused, *control]) == list(range(len(facts)))
    infused_facts = [facts[index] for index in infused]
    subjects = {fact.subject.casefold() for fact in infused_facts}
    pairs = {frozenset((fact.subject.casefold(), fact.object.casefold())) for fact in infused_facts}
    for index in control:
        fact = facts[index]
        assert fact.subject.casefold() not in subjects
        assert frozenset((fact.subject.casefold(), fact.object.casefold())) not in pairs
    assert option_sets(facts, control, 4, 20, seed).sets


@pytest.mark.usefixtures("few_are_many")
def test_endlessly_linked_subjects_are_not_controls(monkeypatch):
    monkeypatch.setattr("kis_plugin.knowledge.control_split._ROUNDS", 3)
    monkeypatch.setattr("kis_plugin.knowledge.control_split._SPARE", 5)
    chain = [Fact(f"c{n}", "next to", f"c{n + step}") for n in range(2000) for step in (-1, 1)]
    alone = [Fact(f"s{n}", "likes", f"o{n % 9}") for n in range(1000)]
    _, control = split_control([*chain, *alone], 20, 0)
    assert len(control) == 20
    assert control.min() >= len(chain)


@pytest.mark.usefixtures("few_are_many")
def test_old_and_new_fact_stay_on_one_side():
    facts = [
        fact
        for n in range(600)
        for fact in (Fact(f"s{n}", "head", f"a{n % 40}", "", 0, 0.5), Fact(f"s{n}", "head", f"b{n % 40}", "", 0.5, 1))
    ]
    _, control = split_control(facts, 40, 1)
    assert len(control) >= 32
    assert set(Counter(int(index) // 2 for index in control).values()) == {2}


def test_one_name_in_two_encodings_is_on_one_side():
    names = [f"Zoë Müller {number}" for number in range(30)]
    facts = [Fact(name, "P19", f"Town {number}") for number, name in enumerate(names)]
    facts += [Fact(unicodedata.normalize("NFD", name), "P69", f"School {n}") for n, name in enumerate(names)]
    facts += [Fact(name.upper().replace(" ", "\u00a0"), "P27", f"Land {n % 5}") for n, name in enumerate(names)]
    infused, control = split_control(facts, 18, 0)
    assert len(control)
    assert {index % 30 for index in control.tolist()}.isdisjoint({index % 30 for index in infused.tolist()})


@pytest.mark.parametrize("count", [1, 2, 5, 10, 19])
def test_a_handful_of_facts_holds_nothing_back_and_says_so(count):
    facts = [Fact(f"subject {number}", "P36", f"object {number}") for number in range(count)]
    with pytest.warns(UserWarning, match=f"{count} facts are too few to hold any back"):
        infused, control = split_control(facts, 200, 0)
    assert infused.tolist() == list(range(count))
    assert not len(control)


@pytest.mark.parametrize(("count", "held"), [(20, 4), (40, 8), (100, 20)])
def test_controls_adapt_to_few_facts(count, held):
    facts = [Fact(f"subject {number}", "P36", f"object {number}") for number in range(count)]
    infused, control = split_control(facts, 200, 0)
    assert len(control) == held
    assert len(infused) + len(control) == count


def test_few_controls_have_as_many_options_as_objects():
    facts = [Fact(f"subject {number}", "P36", f"object {number % 3}") for number in range(40)]
    _, control = split_control(facts, 200, 0)
    assert len(control) == 6
    assert len({facts[index].object for index in control.tolist()}) == 3
