"""The BEAR probe: facts against all objects of their relation."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.config.schema import Config, ProbesConfig, RetentionConfig
from kis_plugin.knowledge.facts import Fact, Knowledge, Templates
from kis_plugin.probe_kinds import answer_space
from kis_plugin.probe_kinds.answer_space import AnswerSpaceProbe
from kis_plugin.retention.questions.question_builder import QuestionBuilder
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.tokenized.infusion_split import InfusionSplit

TEMPLATES = Templates(("{subject} lies in {object}.", "the home of {subject} is {object}.", "{object} has {subject}."))
FACTS = [Fact("kiel", "in", "Germany"), Fact("Lyon", "in", "France"), Fact("Bonn", "in", "Germany")]
NONE = np.empty(0, dtype=np.int64)


def questions_on(facts, among=None, spaces=None, notes=None):
    among = np.arange(len(facts)) if among is None else np.array(among)
    maker = QuestionMaker(
        facts, (), lambda relation: TEMPLATES, 0, candidates=among, answer_spaces=spaces or {},
        notes=[] if notes is None else notes,
    )  # fmt: skip
    return AnswerSpaceProbe().questions(maker)


def test_each_statement_is_a_series_of_all_facts():
    questions = questions_on(FACTS)
    assert [(question.fact, question.series) for question in questions] == [
        (fact, f"answer_space/{statement}") for fact in range(3) for statement in range(3)
    ]
    assert {question.relation for question in questions} == {"in"}


def test_statements_begin_with_a_capital_letter():
    first, second, third = questions_on(FACTS, among=[0])
    assert (first.prefix, first.options) == ("Kiel lies in ", ("Germany.", "France."))
    assert (second.prefix, second.options) == ("The home of kiel is ", ("Germany.", "France."))
    assert (third.prefix, third.options) == ("", ("Germany has kiel.", "France has kiel."))


def test_options_keep_the_order_of_the_source():
    spaces = {"in": ("Peru", "France", "Chad")}
    (question, *_) = questions_on(FACTS, among=[1], spaces=spaces)
    assert question.options == ("Peru.", "France.", "Chad.", "Germany.")
    assert question.options[question.answer] == "France."


def test_other_true_objects_are_no_options():
    facts = [*FACTS, Fact("LYON", "in", "Europe"), Fact("Lyon", "near", "Chad")]
    by_fact = {question.fact: question.options for question in questions_on(facts) if question.series.endswith("/0")}
    assert by_fact[1] == ("Germany.", "France.")
    assert by_fact[3] == ("Germany.", "Europe.")
    assert by_fact[0] == ("Germany.", "France.", "Europe.")


def test_names_that_differ_in_case_are_one_option():
    facts = [Fact("Lyon", "in", "FRANCE"), Fact("Kiel", "in", "Germany")]
    (question, *_) = questions_on(facts, among=[0], spaces={"in": ("France", "Germany")})
    assert question.options == ("FRANCE.", "Germany.")


def test_relations_with_many_answers_are_left_out_by_name(monkeypatch):
    monkeypatch.setattr(answer_space, "MAX_ANSWERS", 2)
    notes = []
    questions = questions_on([*FACTS, Fact("Lima", "in", "Peru"), Fact("Lima", "near", "Callao")], notes=notes)
    assert {question.relation for question in questions} == {"near"}
    assert notes == ["warning: answer_space: relations with more than 2 answers are not probed (in)"]


names = st.sampled_from(["a", "A", "b", "c", "ss", "ß"])
facts_of = st.lists(st.builds(Fact, names, st.sampled_from("rs"), names), min_size=1, max_size=12, unique=True)


@given(facts_of, st.lists(names, max_size=4, unique=True))
def test_exactly_one_option_is_true_whatever_the_facts(facts, space):
    true = {(fact.relation, fact.subject.casefold(), fact.object.casefold()) for fact in facts}
    for question in questions_on(facts, spaces={"r": tuple(space)}):
        fact = facts[question.fact]
        if question.series != "answer_space/0":
            continue
        options = [text.removesuffix(".") for text in question.options]
        assert options[question.answer] == fact.object
        hits = [name for name in options if (fact.relation, fact.subject.casefold(), name.casefold()) in true]
        assert hits == [fact.object]
        assert len({name.casefold() for name in options}) == len(options)


class Book:
    def domains_of(self, relation):
        return ()

    def noun(self, relation):
        return relation

    def of(self, relation):
        return TEMPLATES


def builder_of(kinds, in_run, limit=1000, facts=FACTS):
    config = Config(Path("facts.jsonl"), retention=RetentionConfig(probes=ProbesConfig(facts=limit, kinds=kinds)))
    infused = np.arange(len(facts))
    return QuestionBuilder(config, InfusionSplit(Knowledge(tuple(facts)), Book(), infused, NONE), infused, NONE, in_run)


def test_outside_a_run_only_the_kind_is_evaluated():
    notes = []
    questions = builder_of(("answer_space",), in_run=False).questions(1.0, notes)
    assert {question.series for question in questions} == {f"answer_space/{number}" for number in range(3)}
    assert notes == []


def test_in_a_run_seen_is_evaluated_too():
    facts = [Fact(f"City {number}", "in", f"Land {number % 5}") for number in range(40)]
    questions = builder_of(("answer_space",), in_run=True, facts=facts).questions(1.0, [])
    assert {question.series for question in questions} == {"seen", *(f"answer_space/{number}" for number in range(3))}


@pytest.mark.parametrize("limit", [1, 7, 40])
def test_the_limit_of_facts_applies(limit):
    facts = [Fact(f"City {number}", "in", f"Land {number % 5}") for number in range(40)]
    questions = builder_of(("answer_space",), in_run=False, limit=limit, facts=facts).questions(1.0, [])
    assert len({question.fact for question in questions}) == limit
