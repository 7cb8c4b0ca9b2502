import heapq
from collections import Counter
from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.knowledge.facts import Fact
from kis_plugin.retention.questions.distractors import option_sets

few = st.sampled_from
facts_of_any_kind = st.lists(
    st.builds(Fact, few(["Ann", "Bob", "Cid", "Dan", "Eve"]), few(["P1", "P2"]), few(["x", "X", "y", "z", "w", "v"])),
    max_size=40,
)


def everything(facts):
    return np.arange(len(facts))


def sets_of(facts, options=3, limit=10**6, seed=0, among=None):
    return option_sets(facts, everything(facts) if among is None else among, options, limit, seed).sets


@given(facts_of_any_kind, st.integers(2, 4), st.integers(0, 99), st.data())
def test_each_option_of_a_set_is_right_for_one_fact(facts, options, seed, data):
    among = np.array(sorted(data.draw(st.sets(st.integers(0, len(facts) - 1)))) if facts else [], dtype=np.int64)
    sets = sets_of(facts, options, seed=seed, among=among)
    true = {(fact.subject.casefold(), fact.relation, fact.object.casefold()) for fact in facts}
    for chosen in sets:
        members = [facts[index] for index in chosen.facts]
        assert len(members) == options
        assert {fact.relation for fact in members} == {chosen.relation}
        for one, other in permutations(members, 2):
            assert (one.subject.casefold(), one.relation, other.object.casefold()) not in true
    probed = [index for chosen in sets for index in chosen.facts]
    assert len(probed) == len(set(probed))
    assert set(probed) <= set(among.tolist())


@given(facts_of_any_kind, st.integers(2, 4), st.permutations(["x", "y", "z", "w", "v"]))
def test_ranking_objects_alone_is_right_once_a_set(facts, options, ranking):
    for chosen in sets_of(facts, options):
        objects = [facts[index].object.casefold() for index in chosen.facts]
        guess = min(range(options), key=lambda option: ranking.index(objects[option]))
        assert sum(guess == answer for answer in range(options)) == 1
        assert len(set(objects)) == options


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(2, 4), st.integers(0, 99))
def test_sets_hold_as_many_facts_as_objects_allow(counts, options, seed):
    objects = [f"object {number}" for number, count in enumerate(counts) for _ in range(count)]
    facts = [Fact(f"subject {number}", "P1", name) for number, name in enumerate(objects)]
    assert len(sets_of(facts, options, seed=seed)) == most_groups(counts, options)


def most_groups(counts, options):
    """Take the objects with most facts left, again and again: optimal, by exchange."""
    heap, groups = [-count for count in counts], 0
    heapq.heapify(heap)
    while len(heap) >= options:
        taken = [heapq.heappop(heap) for _ in range(options)]
        for left in taken:
            if left < -1:
                heapq.heappush(heap, left + 1)
        groups += 1
    return groups


def single_valued(sizes, objects=7):
    return [
        Fact(f"{relation} subject {number}", relation, f"object {number % objects}")
        for relation, size in sizes.items()
        for number in range(size)
    ]


def test_the_limit_is_met_with_each_relation_in_proportion():
    facts = single_valued({"P1": 600, "P2": 300, "P3": 100})
    sets = sets_of(facts, options=4, limit=400)
    probed = Counter(chosen.relation for chosen in sets)
    assert sum(probed.values()) == 100
    assert abs(probed["P1"] - 60) <= 1
    assert abs(probed["P2"] - 30) <= 1
    assert abs(probed["P3"] - 10) <= 1


def test_a_limit_below_one_set_gives_no_set():
    assert sets_of(single_valued({"P1": 10}), options=4, limit=3) == ()


def test_the_choice_depends_on_the_seed_alone():
    facts = single_valued({"P1": 200, "P2": 50})
    assert sets_of(facts, seed=1, limit=60) == sets_of(list(facts), seed=1, limit=60)
    assert sets_of(facts, seed=1, limit=60) != sets_of(facts, seed=2, limit=60)


def test_relations_without_sets_are_named_with_the_reason():
    facts = [
        *single_valued({"P1": 8}),
        *single_valued({"P2": 8}, objects=3),
        # every subject has every object: there is no wrong option
        *(Fact(f"s{s}", "P3", f"o{o}") for s in range(4) for o in range(4)),
    ]
    found = option_sets(facts, everything(facts), 4, 100, 0)
    assert {chosen.relation for chosen in found.sets} == {"P1"}
    assert found.left_out["P2"] == "3 distinct objects among 8 facts, 4 needed"
    assert "true for one of the subjects only" in found.left_out["P3"]


def test_facts_that_are_not_probed_still_make_options_true():
    facts = [Fact("Ann", "speaks", "Thai"), Fact("Bob", "speaks", "Urdu"), Fact("Ann", "speaks", "Urdu")]
    assert sets_of(facts, options=2, among=np.array([0, 1])) == ()
    assert len(sets_of(facts[:2], options=2)) == 1


def test_many_valued_relations_form_balanced_sets():
    facts = [Fact(f"s{s}", "P47", f"o{(s + o) % 30}") for s in range(300) for o in (0, 1, 2)]
    assert 4 * len(sets_of(facts, options=4)) >= 0.95 * len(facts)


def test_sets_from_a_sample_of_many_facts_are_balanced(monkeypatch):
    facts = [
        Fact(f"s{n}", f"P{relation}", f"o{(n * 7 + relation * k * 3) % 60}")
        for n in range(1500)
        for relation, k in ((1, 0), (2, 0), (2, 1))
    ]
    whole = sets_of(facts, options=4, limit=80)
    monkeypatch.setattr("kis_plugin.retention.questions.distractors.MANY", 1000)
    sampled = sets_of(facts, options=4, limit=80)
    assert len(sampled) == 20
    assert sampled != whole
    assert sets_of(facts, options=4, limit=len(facts)) == sets_of(facts, options=4)
    true = {(fact.subject, fact.relation, fact.object) for fact in facts}
    for chosen in sampled:
        for one, other in permutations([facts[index] for index in chosen.facts], 2):
            assert (one.subject, one.relation, other.object) not in true
    probed = Counter(chosen.relation for chosen in sampled)
    assert abs(probed["P2"] - 2 * probed["P1"]) <= 4
