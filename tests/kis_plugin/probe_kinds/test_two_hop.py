"""Two-hop probes: what chains, what is a fair wrong option, and what is left out."""

import json
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.knowledge.fact_codes import coded
from kis_plugin.knowledge.facts import Fact, Templates
from kis_plugin.probe_kinds import two_hop
from kis_plugin.probe_kinds.two_hop import TwoHopProbe, chains_of, sets_of_chains
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.retention.saved_model import prober_of_knowledge

NAMES = ["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal", "ann"]
names = st.sampled_from(NAMES)
knowledge = st.lists(st.builds(Fact, names, st.sampled_from(["P1", "P2"]), names), max_size=60, unique=True)
LABELS = {"born": "place of birth", "in": "country", "leads": "head of state"}


def travellers(count=40, towns=10):
    """People born in towns, towns in countries, countries with a head of state."""
    people = [Fact(f"Person{n}", "born", f"Town{n % towns}") for n in range(count)]
    places = [Fact(f"Town{n}", "in", f"Land{n % 8}") for n in range(towns)]
    heads = [Fact(f"Land{n}", "leads", f"Head{n}") for n in range(8)]
    return [*people, *places, *heads]


def ask(facts, infused=None, valid=None, options=4, limit=1000, seed=0):
    maker = QuestionMaker(
        facts, (), lambda relation: Templates(()), seed,
        np.arange(len(facts)) if infused is None else np.array(infused), valid, LABELS.__getitem__, options, limit,
    )  # fmt: skip
    return TwoHopProbe().questions(maker)


def sets_of(facts, infused=None, valid=None, options=2, seed=0):
    every = np.arange(len(facts))
    return sets_of_chains(facts, every if infused is None else infused, valid, options, 10**6, seed)


def test_the_question_names_the_subject_of_the_first_fact():
    facts = travellers()
    questions = ask(facts)
    by_sentence = {question.prefix + question.options[question.answer]: question for question in questions}
    assert "The country of the place of birth of Person3 is Land3." in by_sentence
    assert "The head of state of the country of Town3 is Head3." in by_sentence
    question = by_sentence["The country of the place of birth of Person9 is Land1."]
    assert (question.series, question.relation, len(question.options)) == ("two_hop", "born.in", 4)
    assert len(by_sentence) == len(questions) == 48


def test_chains_of_a_set_share_options_and_are_numbered():
    facts = travellers()
    questions = ask(facts)
    for start in range(0, len(questions), 4):
        four = questions[start : start + 4]
        assert len({(question.options, question.option_set, question.relation) for question in four}) == 1
        assert [question.answer for question in four] == [0, 1, 2, 3]
        assert tuple(question.fact for question in four) == four[0].option_set
    numbers = [question.fact for question in questions]
    assert numbers == list(range(len(facts), len(facts) + len(questions)))


@given(knowledge, st.integers(2, 3), st.integers(0, 9), st.data())
def test_no_option_is_true_of_another_subject(facts, options, seed, data):
    infused = np.array(sorted(data.draw(st.sets(st.integers(0, len(facts) - 1)))) if facts else [], dtype=np.int64)
    fold = [(fact.subject.casefold(), fact.relation, fact.object.casefold()) for fact in facts]
    true = {(s, first, second, o) for s, first, middle in fold for other, second, o in fold if other == middle}
    joined = {(s, o) for s, _, o in fold}
    probed = sets_of(facts, infused, options=options, seed=seed)
    chains = [(one, other) for first, second in probed for one, other in zip(first, second, strict=True)]
    assert len(chains) == len(set(chains))
    assert {place for chain in chains for place in chain} <= set(infused.tolist())
    for first, second in probed:
        ends = [(fold[one], fold[other]) for one, other in zip(first, second, strict=True)]
        assert len(ends) == options
        assert len({(one[1], other[1]) for one, other in ends}) == 1
        for one, other in ends:
            assert one[2] == other[0]
            assert (one[0], other[2]) not in joined
            assert len({one[0], one[2], other[2]}) == 3
        for (one, _), (_, other) in permutations(ends, 2):
            assert (one[0], one[1], other[1], other[2]) not in true


def test_both_facts_of_a_chain_are_infused():
    facts = travellers()
    people = [place for place, fact in enumerate(facts) if fact.relation == "born"]
    assert {question.relation for question in ask(facts, infused=people)} == set()
    rest = [place for place, fact in enumerate(facts) if fact.relation != "born"]
    assert {question.relation for question in ask(facts, infused=rest)} == {"in.leads"}
    assert TwoHopProbe().questions(QuestionMaker(facts, (), lambda relation: Templates(()), 0)) == []


def test_chains_that_one_fact_states_are_left_out():
    facts = [*travellers(), *(Fact(f"Person{n}", "citizen of", f"Land{n % 10 % 8}") for n in range(0, 40, 2))]
    infused = np.arange(len(travellers()))
    probed = [question.prefix for question in ask(facts, infused) if question.relation == "born.in"]
    assert probed
    assert not any(f"Person{n} is" in prefix for prefix in probed for n in range(0, 40, 2))


def test_invalid_facts_make_no_option_true():
    facts = [
        Fact("Ann", "born", "Rome"), Fact("Rome", "in", "Italy"), Fact("Rome", "in", "Norway"),
        Fact("Bob", "born", "Oslo"), Fact("Oslo", "in", "Norway"),
    ]  # fmt: skip
    now = np.array([0, 1, 3, 4])
    assert sets_of(facts, now) == []
    assert len(sets_of(facts, now, valid=now)) == 1


def test_a_question_does_not_contain_its_answer():
    lands = [Fact(f"Land{n}", "capital", f"Town{n}") for n in range(8)]
    towns = [Fact(f"Town{n}", "in", f"land{n}") for n in range(8)]
    assert sets_of([*lands, *towns]) == []


def named(subject, relation, obj, *aliases):
    return Fact(subject, relation, obj, aliases=aliases)


OSLO = [named("Bob", "born", "Oslo"), named("Oslo", "in", "Norway")]
BY_OTHER_NAMES = {
    "an option that is another name of the right one": [
        named("Ann", "born", "Rome"), named("Rome", "in", "Kingdom of Norway", "Norway"), *OSLO,
    ],
    "two options of which a name is the same": [
        named("Ann", "born", "Rome"), named("Rome", "in", "Norge", "Noreg"), named("Bob", "born", "Oslo"),
        named("Oslo", "in", "Norway", "Noreg"),
    ],
    "an option that is true by way of another name of the middle": [
        named("Ann", "born", "Roma", "Rome"), named("Roma", "in", "Lazio"), named("Rome", "in", "Norway"), *OSLO,
    ],
    "an answer that a single fact states by another name": [
        named("Ann", "born", "Rome"), named("Rome", "in", "Italy"), named("Ann", "of", "Italia", "Italy"), *OSLO,
    ],
    "an answer that the question holds by another name": [
        named("Italy", "born", "Rome"), named("Rome", "in", "Italia", "Italy"), *OSLO,
    ],
}  # fmt: skip


@pytest.mark.parametrize("facts", BY_OTHER_NAMES.values(), ids=BY_OTHER_NAMES)
def test_chains_that_cannot_be_probed(facts):
    assert sets_of(facts) == []
    assert len(sets_of([fact._replace(aliases=()) for fact in facts])) == 1  # by what names alone say it would be


def test_aliases_around_chains_are_read_from_many_facts(monkeypatch):
    monkeypatch.setattr(two_hop, "MANY", 3)
    assert sets_of(BY_OTHER_NAMES["an option that is another name of the right one"]) == []
    assert sets_of(BY_OTHER_NAMES["an answer that a single fact states by another name"]) == []


def test_an_ambiguous_middle_gives_no_chain():
    facts = [
        named("Ann", "born", "Paris"), named("Paris", "in", "France"), *OSLO, named("Cid", "born", "Paris, Texas"),
    ]  # fmt: skip
    assert len(sets_of(facts)) == 1
    assert sets_of([*facts[:-1], named("Cid", "born", "Paris, Texas", "Paris")]) == []
    both = [named("Cid", "born", "Lutetia", "Paris"), named("Ann", "born", "Paris", "Lutetia")]  # one town
    assert len(sets_of([*both, *facts[1:-1]])) == 1


def things(facts):
    """A number for each name, the same for those that aliases join: by joining again and again."""
    number = {name.casefold(): place for place, name in enumerate(NAMES)}
    for _ in NAMES:
        for fact in facts:
            group = [name.casefold() for name in (fact.object, *fact.aliases)]
            number |= dict.fromkeys(group, min(map(number.__getitem__, group)))
    return number


@given(knowledge, st.dictionaries(names, st.sets(names, max_size=2), max_size=3), st.integers(0, 9))
def test_aliases_make_no_option_true_of_another_subject(facts, aliases, seed):
    facts = [fact._replace(aliases=tuple(sorted(aliases.get(fact.object, ())))) for fact in facts]
    number = things(facts)
    known = [(number[fact.subject.casefold()], fact.relation, number[fact.object.casefold()]) for fact in facts]
    true = {(s, first, second, o) for s, first, middle in known for other, second, o in known if other == middle}
    joined = {(s, o) for s, _, o in known}
    for first, second in sets_of(facts, seed=seed):
        ends = [(known[one], known[other]) for one, other in zip(first, second, strict=True)]
        for one, other in ends:
            assert (one[0], other[2]) not in joined
            assert len({one[0], one[2], other[2]}) == 3
        for (one, _), (_, other) in permutations(ends, 2):
            assert (one[0], one[1], other[1], other[2]) not in true
        for place in first:
            middle = facts[place].object.casefold()
            called = [fact for fact in facts if middle in map(str.casefold, fact.aliases)]
            own = {name.casefold() for fact in facts if fact.object.casefold() == middle for name in fact.aliases}
            assert {fact.object.casefold() for fact in called} <= {middle, *own}


def test_subjects_with_many_first_facts_are_left_out():
    many = [Fact("Land", "has", f"Town{n}") for n in range(40)]
    lead = [Fact(f"Town{n}", "led by", f"Mayor{n}") for n in range(40)]
    few = [Fact(f"Isle{n}", "has", f"Town{n}") for n in range(8)]
    codes_of_few = {one for first, _ in sets_of([*many, *lead, *few]) for one in first.tolist()}
    assert codes_of_few == set(range(80, 88))


def test_the_limit_is_met_and_spread_over_pairs_of_relations():
    facts = travellers(400, 40)
    questions = ask(facts, limit=44)
    assert len(questions) == 44
    relations = [question.relation for question in questions]
    assert relations.count("born.in") == 40  # 400 of 440 chains
    assert relations.count("in.leads") == 4


def test_the_choice_depends_on_the_seed_alone():
    facts = travellers(400, 40)
    assert ask(facts, limit=40, seed=1) == ask(facts, limit=40, seed=1)
    assert ask(facts, limit=40, seed=1) != ask(facts, limit=40, seed=2)


@pytest.mark.parametrize("many", [10, 50])
def test_many_chains_are_sampled(monkeypatch, many):
    facts = travellers(400, 40)
    monkeypatch.setattr(two_hop, "MANY", many)
    chains = chains_of(coded(facts), np.arange(len(facts)), 0)
    assert 0 < len(chains.first) <= many
    assert all(
        facts[one].object == facts[other].subject for one, other in zip(chains.first, chains.second, strict=True)
    )


def test_outside_a_run_two_hop_has_no_controls(tmp_path):
    lines = [{"subject": f"Person{n}", "relation": "P19", "object": f"Town{n}"} for n in range(12)]
    lines += [{"subject": f"Town{n}", "relation": "P17", "object": f"Land{n % 6}"} for n in range(12)]
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    prober = prober_of_knowledge(tmp_path / "facts.jsonl", ["two_hop"])
    assert {question.series for question in prober.questions} == {"two_hop"}
