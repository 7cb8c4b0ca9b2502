from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.config.schema import Config, ProbesConfig, RetentionConfig
from kis_plugin.errors import KISError
from kis_plugin.knowledge.control_split import split_control
from kis_plugin.knowledge.facts import Fact, Knowledge, Passage, Templates
from kis_plugin.retention import plugin as retention
from kis_plugin.retention.evaluation_steps import evaluation_steps
from kis_plugin.retention.plugin import Retention
from kis_plugin.retention.questions.question_builder import initial_questions
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.ranks import Ranks
from kis_plugin.tokenized.infusion_split import InfusionSplit
from kis_plugin.tokenized.tokenizer import render
from tests.world.plain import FakeSession
from tests.world.words import Knowing, Words

TEMPLATES = Templates(
    (
        "{subject} was born in {object}.",
        "{subject} saw the light of day in {object}.",
        "The birthplace of {subject} is {object}.",
        "{object} saw the birth of {subject}.",
    ),
    ("Where was {subject} born? {object}",),
)
FACTS = tuple(Fact(f"Person{number}", "born", f"City{number % 40}", str(number)) for number in range(400))


class Book:
    def of(self, relation):
        return TEMPLATES

    def domains_of(self, relation):
        return ()


@pytest.fixture
def split(monkeypatch):
    made = InfusionSplit(Knowledge(FACTS), Book(), *split_control(FACTS, 40, 0))
    monkeypatch.setattr(retention, "load_split", lambda config: made)
    return made


def run_with(probes=None, every=0.5, steps=10, **changed):
    probes = probes or ProbesConfig(facts=100, kinds=("held_out",))
    config = Config(Path("facts.jsonl"), retention=RetentionConfig(every=every, probes=probes, control=40))
    tokenizer = Words()
    run = TrainingRun(
        config=config, tokenizer=tokenizer, model=Knowing(tokenizer), framework="none", run_id="r", folder=Path("r"),
        params=1, params_non_embedding=1, rows=100, sequence_length=32, steps=steps,
    )  # fmt: skip
    said, session = [], FakeSession(lambda: retention.load_split(config).infused)
    return replace(run, notify=said.append, session=session, **changed), said, session.records


def plugin(run):
    made = Retention(run)
    made.kis_run_start(run=run, resumed=None)
    return made


def test_accuracy_is_what_the_model_knows(split):
    run, _, records = run_with()
    measured = plugin(run)
    # It knows the infused facts in their seen template, and half of them in the held-out ones.
    infused = [FACTS[index] for index in split.infused]
    run.model.learn(render(TEMPLATES.statements[0], fact) for fact in infused)
    known = [fact for fact in infused if int(fact.id) % 2]
    run.model.learn(render(statement, fact) for fact in known for statement in TEMPLATES.held_out[:1])
    measured.kis_step_end(run=run, step=10)
    found = {record.probe: record for record in records}
    assert list(found) == ["held_out", "seen", "control", "above_control"]
    assert found["above_control"].accuracy == found["held_out"].accuracy - found["control"].accuracy
    assert (found["seen"].accuracy, found["seen"].n) == (1.0, 100)
    assert found["seen"].margin > 5
    questions = initial_questions(run.config, split, [])
    expected = sum(
        question.prefix.startswith("The birthplace") and int(FACTS[question.fact].id) % 2
        for question in questions
        if question.series == "held_out"
    )
    assert 0 < found["held_out"].correct < 100
    assert found["held_out"].correct == expected
    assert found["control"].correct == 0
    assert {(record.step, record.tokens) for record in records} == {(10, 3200)}


def test_records_carry_chance_and_a_wilson_interval(split):
    run, _, records = run_with()
    measured = plugin(run)
    run.model.learn(render(TEMPLATES.statements[0], FACTS[index]) for index in split.infused)
    measured.kis_step_end(run=run, step=0)
    seen = next(record for record in records if record.probe == "seen")
    # 100 of 100: Wilson's lower limit is n / (n + z^2)
    low = pytest.approx(100 / (100 + 1.959964**2), abs=1e-6)
    assert seen.extra == {
        "chance": 0.25,
        "low": low,
        "high": 1.0,
        "frequency_baseline": seen.extra["frequency_baseline"],
        "ceiling": 1.0,
    }
    assert 0 <= seen.extra["frequency_baseline"] <= 0.25
    assert seen.seconds > 0


def test_free_form_kinds_are_series_with_their_baseline(split):
    run, said, records = run_with(ProbesConfig(facts=40, kinds=("held_out", "cloze", "answer")))
    infused = [FACTS[index] for index in split.infused]
    run.model.learn(render(TEMPLATES.held_out[0], fact) + "\n" for fact in infused if int(fact.id) % 2)
    run.model.learn(render(TEMPLATES.questions[0], fact).lower() + "\n" for fact in infused)
    measured = plugin(run)
    measured.kis_step_end(run=run, step=10)
    found = {record.probe: record for record in records}
    assert list(found) == ["held_out", "cloze", "answer", "seen", "control", "above_control"]
    odd = [q for q in measured._evaluator.questions if q.series == "cloze" and int(FACTS[q.fact].id) % 2]
    cloze = found["cloze"]
    # The sentence that names the object first is not probed: every fact is, by the other one.
    assert (cloze.n, cloze.correct, cloze.extra["exact"], cloze.extra["chance"]) == (40, len(odd), len(odd) / 40, 0.0)
    assert 0 < len(odd) < 40
    most = max(sum(q.accepted == other.accepted for q in odd) for other in odd)
    assert most / 40 <= cloze.extra["frequency_baseline"] < 0.2
    assert cloze.margin is None
    assert cloze.extra["low"] < cloze.accuracy < cloze.extra["high"]
    assert found["answer"].correct == 0  # it knows the questions in small letters only
    assert "exact" not in found["held_out"].extra
    assert any("40 cloze, 40 answer" in line for line in said)


def test_free_form_controls_leak_above_their_baseline(split):
    run, said, records = run_with(ProbesConfig(facts=40, kinds=("cloze", "held_out")))
    run.model.learn(render(TEMPLATES.held_out[0], fact) + "\n" for fact in FACTS[::20])
    measured = plugin(run)
    measured.kis_step_end(run=run, step=10)
    control = next(record for record in records if record.probe == "control")
    assert not any("control facts" in line for line in said)
    run.model.learn(render(TEMPLATES.held_out[0], fact) + "\n" for fact in FACTS)
    measured.kis_step_end(run=run, step=10)
    assert any(f"above chance ({control.extra['frequency_baseline']:.3f})" in line for line in said)


def test_evaluation_mode_only_at_evaluation_steps(split):
    run, _, records = run_with()
    measured = plugin(run)
    for step in range(11):
        measured.kis_step_end(run=run, step=step)
    assert sorted({record.step for record in records}) == [0, 5, 10]
    modes = run.model.modes
    assert modes[0] == "evaluation"
    assert modes[-1] == "training"
    assert modes.count("evaluation") == 1 + 3  # the model is tried once before the run begins


def test_the_run_record_counts_the_probes(split):
    run, said, _ = run_with()
    record = plugin(run).kis_run_record(run=run)
    assert record["options"] == 4
    assert record["probes"]["held_out"] == record["probes"]["seen"] == 100
    assert record["probes"]["control"] >= 36
    assert any("evaluating 100 held_out, 100 seen" in line and "at 3 points" in line for line in said)


def test_control_series_hold_control_facts_alone(split):
    questions = initial_questions(run_with()[0].config, split, [])
    control = set(split.control.tolist())
    for question in questions:
        assert (question.fact in control) == (question.series == "control")


def test_a_control_leak_is_reported_at_the_end(split):
    run, said, _ = run_with()
    measured = plugin(run)
    run.model.learn(render(statement, fact) for fact in FACTS for statement in TEMPLATES.held_out[:1])
    measured.kis_step_end(run=run, step=5)
    assert not any("control facts" in line for line in said)
    measured.kis_step_end(run=run, step=10)
    (line,) = [line for line in said if "control facts" in line]
    assert line.startswith("kis: warning: control facts are answered at 0.")


def test_the_first_kind_probes_the_controls(split):
    probes = ProbesConfig(facts=40, kinds=("question", "held_out"))
    notes: list[str] = []
    questions = initial_questions(run_with(probes)[0].config, split, notes)
    assert not any("measures no retention" in note for note in notes)
    assert list(dict.fromkeys(question.series for question in questions)) == ["question", "held_out", "seen", "control"]
    assert all(question.prefix.startswith("Where") for question in questions if question.series == "control")


def test_a_run_without_held_out_probes_is_warned(split):
    notes: list[str] = []
    initial_questions(run_with(ProbesConfig(kinds=("question",)))[0].config, split, notes)
    assert any("has no held_out: the run measures no retention" in note for note in notes)


def test_an_unknown_kind_names_the_nearest(split):
    with pytest.raises(KISError, match="Did you mean 'held_out'"):
        plugin(run_with(ProbesConfig(kinds=("heldout",)))[0])


def test_other_ranks_evaluate_alike_and_stay_silent(split):
    first, _, _ = run_with(ranks=Ranks(0, 2))
    other, said, records = run_with(ranks=Ranks(1, 2))
    for run in (first, other):
        plugin(run).kis_step_end(run=run, step=10)
    assert len(first.model.modes) == len(other.model.modes)
    assert said == []
    assert len(records) == 4  # whoever publishes decides by rank


def test_sets_with_long_sentences_are_left_out_whole(monkeypatch):
    facts = (*FACTS[:80], Fact("Person of a " + "very " * 40 + "long name", "born", "City9"))
    made = InfusionSplit(Knowledge(facts), Book(), np.arange(len(facts)), np.arange(0))
    monkeypatch.setattr(retention, "load_split", lambda config: made)
    run, said, records = run_with()
    measured = plugin(run)
    assert measured.kis_run_record(run=run)["probes"] == {"held_out": 76, "seen": 76}
    assert any("4 facts are not probed" in line for line in said)
    measured.kis_step_end(run=run, step=0)
    assert {record.n for record in records} == {76}


def test_facts_without_questions_are_refused(monkeypatch):
    facts = tuple(Fact(f"Person{n}", "born", f"City{n % 3}") for n in range(120))
    made = InfusionSplit(Knowledge(facts), Book(), np.arange(120), np.arange(0))
    monkeypatch.setattr(retention, "load_split", lambda config: made)
    with pytest.raises(KISError, match="3 distinct objects among 120 facts, 4 needed"):
        plugin(run_with()[0])


def passages(count, words):
    return tuple(
        Passage(" ".join(f"w{number}x{word}" for word in range(words)), str(number)) for number in range(count)
    )


def documents(monkeypatch, found):
    made = InfusionSplit(Knowledge(passages=found), Book(), np.arange(0), np.arange(0))
    monkeypatch.setattr(retention, "load_split", lambda config: made)


def test_documents_are_probed_by_their_continuation(monkeypatch):
    found = passages(30, 40)
    documents(monkeypatch, found)
    run, said, records = run_with(ProbesConfig(facts=20), sequence_length=64)
    measured = plugin(run)
    run.model.learn([passage.text for passage in found])
    measured.kis_step_end(run=run, step=0)
    assert [(record.probe, record.n, record.accuracy) for record in records] == [("seen", 20, 1.0)]
    assert any("Retention proper needs" in line for line in said)


def test_user_questions_are_series_of_their_own(split, tmp_path):
    path = tmp_path / "qa.csv"
    path.write_text("question,answer\n" + "".join(f"Who made engine {n}?,Firm{n}\n" for n in range(12)))
    run, _, records = run_with(ProbesConfig(facts=40))
    run = replace(run, config=replace(run.config, retention=replace(run.config.retention, qa=path)))
    run.model.learn(f"Who made engine {n}? Firm{n}\n" for n in range(0, 12, 2))
    measured = plugin(run)
    measured.kis_step_end(run=run, step=10)
    found = {record.probe: record for record in records}
    assert list(found) == ["held_out", "seen", "control", "qa", "qa_answer", "above_control"]
    assert (found["qa"].n, found["qa"].correct, found["qa"].extra["chance"]) == (12, 6, 0.25)
    assert (found["qa_answer"].n, found["qa_answer"].correct, found["qa_answer"].extra["frequency_baseline"]) == (
        12,
        6,
        1 / 12,
    )


def test_invalid_user_questions_stop_the_run_at_its_start(split, tmp_path):
    path = tmp_path / "qa.csv"
    path.write_text("question,answer\nWho?,\n")
    run, _, _ = run_with(ProbesConfig(facts=40))
    run = replace(run, config=replace(run.config, retention=replace(run.config.retention, qa=path)))
    with pytest.raises(KISError, match=r"qa\.csv:2 answer: found an empty value"):
        plugin(run)


def test_short_passages_are_not_probed(monkeypatch):
    documents(monkeypatch, passages(30, 19))
    run, said, records = run_with()
    measured = plugin(run)
    measured.kis_step_end(run=run, step=0)
    assert records == []
    assert any("no questions: 0 passages have 20 words or more" in line for line in said)


@pytest.mark.parametrize(
    ("every", "steps", "start", "points"),
    [
        (0.1, 1000, 0, range(0, 1001, 100)),
        (0.3, 10, 0, [0, 3, 6, 9, 10]),
        (4, 10, 0, [0, 4, 8, 10]),
        (0.1, 3, 0, [0, 1, 2, 3]),
        (0.25, 8, 4, [6, 8]),
        (100, 10, 0, [0, 10]),
    ],
)
def test_evaluations_at_start_end_and_in_between(every, steps, start, points):
    assert sorted(evaluation_steps(every, steps, start)) == list(points)


@given(st.one_of(st.floats(0.001, 0.999), st.integers(1, 50)), st.integers(1, 200), st.data())
def test_a_resumed_run_evaluates_at_the_same_steps(every, steps, data):
    start = data.draw(st.integers(1, steps))
    whole, rest = evaluation_steps(every, steps), evaluation_steps(every, steps, start)
    assert rest == {step for step in whole if step > start}
    assert {0, steps} <= whole


def test_several_templates_a_fact_are_logged_by_template(split):
    run, _, records = run_with(ProbesConfig(facts=40, templates_per_fact=2))
    retention_plugin = plugin(run)
    run.model.learn(render(TEMPLATES.statements[3], fact) for fact in FACTS)  # the last held-out template alone
    retention_plugin.kis_step_end(run=run, step=0)
    found = {record.probe: record for record in records}
    assert (found["held_out/template/2"].n, found["held_out/template/3"].n) == (40, 40)
    assert found["held_out/template/3"].accuracy > 0.9 > 0.5 > found["held_out/template/2"].accuracy


def test_controls_probed_by_another_kind_give_no_difference(split):
    run, _, records = run_with(ProbesConfig(facts=40, kinds=("question", "held_out")))
    plugin(run).kis_step_end(run=run, step=0)
    assert "above_control" not in {record.probe for record in records}


def test_the_run_record_has_the_options_that_questions_have(monkeypatch):
    facts = tuple(Fact(f"Person{n}", "born", f"City{n % 3}", str(n)) for n in range(9))
    made = InfusionSplit(Knowledge(facts), Book(), np.arange(9), np.arange(0))
    monkeypatch.setattr(retention, "load_split", lambda config: made)
    run, said, records = run_with()
    few = plugin(run)
    few.kis_step_end(run=run, step=0)
    options = few.kis_run_record(run=run)["options"]
    assert {record.extra["chance"] for record in records} == {1 / options}
    assert options < 4
