"""Background facts: what the base data teaches, evaluated during the whole run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kis_plugin.config.load import config_from
from kis_plugin.errors import KISError
from kis_plugin.retention.evaluator import Evaluator
from kis_plugin.retention.questions import background
from kis_plugin.retention.questions.background import load_background
from kis_plugin.retention.questions.question_builder import initial_questions
from kis_plugin.tokenized.infusion_split import load_split
from tests.world.words import Knowing, Words


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KIS_CACHE", str(tmp_path / "cache"))
    return tmp_path


def write(name, facts):
    lines = [json.dumps({"subject": s, "relation": r, "object": o}) + "\n" for s, r, o in facts]
    Path(name).write_text("".join(lines))


def people(count, first=0, towns=8):
    return [(f"Person{n}", "P19", f"Town{n % towns}") for n in range(first, first + count)]


def capitals(count):
    return [(f"Land{n}", "P36", f"Capital{n}") for n in range(count)]


def config(**retention):
    values = {"background": "base.jsonl", "control": 0, "probes": {"facts": 20}, **retention}
    return config_from({"knowledge": "facts.jsonl", "retention": values})


def questions(found, notes=None):
    probed = initial_questions(found, load_split(found), [] if notes is None else notes)
    return [question for question in probed if question.series == "background"]


def test_background_uses_balanced_sets_and_any_statement(here):
    write("facts.jsonl", people(40))
    write("base.jsonl", capitals(60))
    probed = questions(config())
    assert len(probed) == 20
    assert {question.source for question in probed} == {"background"}
    assert {question.relation for question in probed} == {"P36"}
    assert {question.domains for question in probed} == {("Place",)}
    facts = load_background(config(), load_split(config())).facts
    for question in probed:
        assert question.options[question.answer].startswith(facts[question.fact].object)
        assert question.prefix.count(facts[question.fact].subject) == 1
        assert len(question.options) == len(question.option_set) == 4
    assert len({question.prefix.replace(facts[question.fact].subject, "") for question in probed}) > 2


def test_infused_background_facts_are_left_out_with_a_note(here):
    write("facts.jsonl", people(40))
    write("base.jsonl", [*people(30, 20), ("person1", "P19", "TOWN1"), ("Person2", "P19", "Elsewhere")])
    notes: list[str] = []
    probed = questions(config(probes={"facts": 1000}), notes)
    facts = load_background(config(), load_split(config())).facts
    subjects = {facts[question.fact].subject for question in probed}
    assert subjects <= {f"Person{n}" for n in range(40, 50)} | {"Person2"}
    assert "21 background facts are left out: they are infused too" in notes


def test_a_control_may_be_a_background_fact(here):
    write("facts.jsonl", people(100))
    write("base.jsonl", people(100))
    found = config(control=20)
    split = load_split(found)
    facts = load_background(found, split).facts
    controls = {split.knowledge.facts[place].subject for place in split.control.tolist()}
    probed = questions(found)
    assert probed
    assert {facts[question.fact].subject for question in probed} <= controls


def test_facts_of_the_run_are_no_wrong_options(here):
    # Each land has a second language that only the run states: it may not stand among its options.
    write("facts.jsonl", [(f"Land{n}", "P37", f"Tongue{(n + 1) % 8}") for n in range(40)])
    write("base.jsonl", [(f"Land{n}", "P37", f"Tongue{n % 8}") for n in range(40)])
    found = config(probes={"facts": 40})
    facts = load_background(found, load_split(found)).facts
    probed = questions(found)
    assert probed
    for question in probed:
        number = int(facts[question.fact].subject.removeprefix("Land"))
        assert f"Tongue{(number + 1) % 8}" not in {facts[mate].object for mate in question.option_set}


def test_background_questions_stay_the_same_during_the_run(here):
    write("facts.jsonl", people(40))
    Path("bear").mkdir()
    statements = ["[X] has the capital [Y].", "[X] is run from [Y].", "In [X] all roads lead to [Y]."]
    Path("bear/metadata_relations.json").write_text(json.dumps({"P36": {"templates": statements}}))
    lines = [json.dumps({"sub_label": s, "obj_label": o}) + "\n" for s, _, o in capitals(20)]
    Path("bear/P36.jsonl").write_text("".join(lines))
    found = config(background="bear")
    assert questions(found) == questions(found)
    assert any("all roads lead" in question.prefix for question in questions(found))


def test_a_background_without_facts_is_refused(here):
    write("facts.jsonl", people(40))
    Path("base.jsonl").write_text('{"text": "No triple."}\n')
    with pytest.raises(KISError, match=r"retention.background: found no facts in .*base.jsonl, expected facts"):
        questions(config())


def test_background_without_option_sets_is_noted(here):
    write("facts.jsonl", people(40))
    write("base.jsonl", capitals(3))
    notes: list[str] = []
    assert questions(config(), notes) == []
    assert any("1 relation of background facts is not probed (P36: 3 distinct" in note for note in notes)
    assert "warning: no option set can be formed from the background facts" in notes


def test_documents_have_a_background_too(here):
    Path("facts.jsonl").write_text(json.dumps({"text": "A document of few words."}) + "\n")
    write("base.jsonl", capitals(40))
    assert len(questions(config())) == 20


def test_very_many_background_facts_are_sampled(here, monkeypatch):
    monkeypatch.setattr(background, "MANY", 100)
    write("facts.jsonl", people(40))
    write("base.jsonl", capitals(500))
    found = load_background(config(probes={"facts": 8}), load_split(config()))
    assert len(found.questions) == 8
    for question in found.questions:
        assert question.options[question.answer].startswith(found.facts[question.fact].object)


def test_a_long_sentence_drops_only_sets_of_its_own_source(here):
    write("facts.jsonl", people(40))
    write("base.jsonl", capitals(40))
    found = config(probes={"facts": 40})
    probed = initial_questions(found, load_split(found), [])
    # The background's first question is made too long for a row; the run's own facts have the same numbers.
    first = next(question for question in probed if question.source)
    long = [replace(one, prefix="very " * 60 + one.prefix) if one is first else one for one in probed]
    tokenizer, notes = Words(), []
    left = Evaluator(long, tokenizer, 50, notes).questions
    assert [one for one in left if not one.source] == [one for one in probed if not one.source]
    gone = {one.fact for one in probed if one.source} - {one.fact for one in left if one.source}
    assert gone == set(first.option_set)
    assert any("4 facts are not probed" in note for note in notes)
    assert np.isfinite(Evaluator(left, tokenizer, 50, []).answer(Knowing(tokenizer)).bits_per_byte).all()
