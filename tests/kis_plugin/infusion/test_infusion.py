"""The infusion of whole runs: what is shown, what is reported, what a resume refuses."""

from __future__ import annotations

import json

import pytest

from kis_plugin.errors import KISError
from kis_plugin.plugins.session import Session
from kis_plugin.run.log import read_run_log
from tests.world.facts import people, write_facts
from tests.world.plain import BASE, BLOCK, Letters, make_run, train

pytest.importorskip("torch")
BORN = "The place where Person{n} was born is Town{t}."


def times(shown: list[str], text: str) -> int:
    return sum(row.count(text) for row in shown)


@pytest.fixture
def facts(tmp_path):
    write_facts(tmp_path, people(16))
    return tmp_path


@pytest.mark.parametrize("schedule", ["uniform", {"name": "ramp"}, {"name": "burst", "bursts": 2}, "spaced"])
@pytest.mark.parametrize("placement", ["rows", "inline"])
def test_every_fact_is_shown_as_often_as_requested_and_counted(facts, schedule, placement):
    infusion = {"frequency": 4, "template_order": "first", "schedule": schedule, "placement": placement}
    session = Session(make_run(facts, infusion, rows=1200))
    shown = train(session)
    assert [times(shown, BORN.format(n=n, t=n % 8)) for n in range(16)] == [4] * 16
    assert all(len(row) == BLOCK for row in shown)
    session.end(300)
    end = read_run_log(facts / "runs" / "r" / "kis.jsonl").end
    assert end.achieved_frequency == end.extra["requested_frequency"] == {"min": 4, "max": 4, "mean": 4}
    assert end.extra["miscounted"] == 0


def test_inline_sentences_follow_base_sentences(facts):
    session = Session(make_run(facts, {"frequency": 4, "template_order": "first", "placement": "inline"}, rows=400))
    infused = [row.partition(" The place") for row in train(session) if "Person" in row]
    assert len(infused) == 64
    assert all(before.endswith(".") for before, _, _ in infused)
    assert all(before + after.partition(".")[2] in BASE * 5 for before, _, after in infused)


def test_facts_that_change_are_infused_as_they_are_at_the_time(tmp_path):
    moved = [{**fact, "until": 0.5, "replaced_by": "Ulm"} for fact in people(4)]
    write_facts(tmp_path, [*moved, *people(16)[4:]])
    session = Session(make_run(tmp_path, {"frequency": 6, "template_order": "first"}, rows=400))
    shown = train(session)
    for n in range(4):
        before, after = BORN.format(n=n, t=n % 8), f"The place where Person{n} was born is Ulm."
        assert (times(shown[:200], before), times(shown[200:], before)) == (6, 0)
        assert (times(shown[:200], after), times(shown[200:], after)) == (0, 6)
    assert [times(shown, BORN.format(n=n, t=n % 8)) for n in range(4, 16)] == [6] * 12


def test_a_part_of_a_run_reports_what_it_showed(facts):
    session = Session(make_run(facts, {"frequency": 4, "template_order": "first"}))
    shown = train(session, stop=200)
    session.end(50)
    end = read_run_log(facts / "runs" / "r" / "kis.jsonl").end
    counts = [times(shown, BORN.format(n=n, t=n % 8)) for n in range(16)]
    assert end.status == "stopped"
    assert end.achieved_frequency == {"min": min(counts), "max": max(counts), "mean": sum(counts) / 16}
    assert end.extra["requested_frequency"]["mean"] == 4


INFUSION = {"frequency": 4, "template_order": "cycle"}


def interrupted(folder):
    """What a run's first half leaves: its state, and its rows."""
    session = Session(make_run(folder, INFUSION))
    shown = train(session, stop=200)
    session.save(50)
    return json.loads(json.dumps(session.state())), shown


def test_a_resumed_run_shows_what_the_unbroken_one_would(facts):
    state, first = interrupted(facts)
    resumed = Session(make_run(facts, INFUSION, start_step=50), state)
    rest = train(resumed, first=200)
    resumed.end(100)
    whole = Session(make_run(facts, INFUSION, folder=facts / "runs" / "whole"))
    assert first + rest == train(whole)
    assert read_run_log(facts / "runs" / "r" / "kis.jsonl").end.achieved_frequency == {"min": 4, "max": 4, "mean": 4}


OTHER_TEMPLATES = """P19:
  statements: ["{subject} is from {object}.", "From {object} comes {subject}.", "{object} saw {subject} grow up."]
"""
CHANGES = {
    "knowledge": {"facts": people(12)},
    "sentences": {"config": {"templates": "other.yaml"}},
    "tokenizer": {"tokenizer": Letters("others")},
    "seed": {"config": {"seed": 1}},
    "schedule": {"infusion": {"schedule": "ramp"}},
    "exposures": {"infusion": {"frequency": 5}},
    "placement": {"infusion": {"placement": "inline"}},
    "rendering": {"infusion": {"rendering": "triples"}},
    "window": {"infusion": {"window": [0.0, 0.9]}},
    "rows": {"rows": 404, "steps": 100},
}


IN_KIS_YAML = {"exposures": "infusion.frequency"} | {
    key: f"infusion.{key}" for key in ("schedule", "placement", "rendering", "window")
}


def changed(folder, name):
    change = dict(CHANGES[name])
    if "facts" in change:
        write_facts(folder, change.pop("facts"))
    config = change.pop("config", {})
    if "templates" in config:
        (folder / "other.yaml").write_text(OTHER_TEMPLATES)
        config = {"templates": str(folder / "other.yaml")}
    return {"infusion": INFUSION | change.pop("infusion", {}), "config": config, **change}


@pytest.mark.parametrize("name", CHANGES)
def test_a_resume_that_finds_something_else_is_refused_by_name(facts, name):
    state, _ = interrupted(facts)
    log = (facts / "runs" / "r" / "kis.jsonl").read_bytes()
    other = changed(facts, name)
    with pytest.raises(KISError) as refused:
        Session(make_run(facts, other.pop("infusion"), start_step=50, **other), state)
    assert any(
        problem.where == f"resume at step 50: {IN_KIS_YAML.get(name, name)}" for problem in refused.value.problems
    )
    assert (facts / "runs" / "r" / "kis.jsonl").read_bytes() == log


@pytest.mark.parametrize("name", ["schedule", "knowledge"])
def test_on_mismatch_warn_goes_on_and_says_so(facts, name):
    state, _ = interrupted(facts)
    other = changed(facts, name)
    other["config"] = {**other["config"], "on_mismatch": "warn"}
    said: list[str] = []
    session = Session(make_run(facts, other.pop("infusion"), start_step=50, notify=said.append, **other), state)
    train(session, first=200)
    session.end(100)
    assert any(
        "on_mismatch is warn" in line and f"resume at step 50: {IN_KIS_YAML.get(name, name)}" in line for line in said
    )
    assert any("from row 200 on" in line for line in said)
    assert read_run_log(facts / "runs" / "r" / "kis.jsonl").end.extra.get("miscounted", 1) > 0


def test_a_log_that_a_kill_left_torn_goes_on_whole(facts):
    state, _ = interrupted(facts)
    log = facts / "runs" / "r" / "kis.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"type":"retention","st')
    resumed = Session(make_run(facts, INFUSION, start_step=50), state)
    train(resumed, first=200)
    resumed.end(100)
    assert read_run_log(log).end.extra["miscounted"] == 0
    log.write_bytes(whole[:-1])  # a last line that lacks nothing but its end
    Session(make_run(facts, INFUSION, start_step=50), state).end(50)
    assert log.read_bytes().startswith(whole)


def test_counts_of_other_items_are_not_called_miscounts(facts):
    state, _ = interrupted(facts)
    other = changed(facts, "knowledge")
    other["config"] = {**other["config"], "on_mismatch": "warn"}
    session = Session(make_run(facts, other.pop("infusion"), start_step=50, **other), state)
    train(session, first=200)
    session.end(100)
    assert "miscounted" not in read_run_log(facts / "runs" / "r" / "kis.jsonl").end.extra


def test_what_a_stopped_run_has_not_shown_yet_is_no_miscount(facts):
    session = Session(make_run(facts, INFUSION))
    train(session, stop=200)
    session.end(50)
    end = read_run_log(facts / "runs" / "r" / "kis.jsonl").end
    assert end.status == "stopped"
    assert end.achieved_frequency["max"] < end.extra["requested_frequency"]["max"]
    assert "miscounted" not in end.extra
