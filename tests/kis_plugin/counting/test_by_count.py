"""Retention by count, in a run and outside one."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from kis_plugin.counting.by_count import CorpusCounts, base_counts, count_records, counted_tokens, with_efficiency
from kis_plugin.counting.counts_file import read_counts, write_counts
from kis_plugin.errors import KISError
from kis_plugin.knowledge.facts import Fact
from kis_plugin.knowledge.per_entry_file import entry_key
from kis_plugin.knowledge.sources.read import read_knowledge
from kis_plugin.plugins.session import Session
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.results import Outcomes, series_records
from kis_plugin.run.context import Shown
from kis_plugin.run.log import read_run_log
from tests.world.facts import people, write_facts
from tests.world.plain import Letters, make_run, train

FACTS = [Fact(f"S{number}", "r", "O", f"f{number}") for number in range(100)]
OTHERS = [Fact(f"B{number}", "r", "O", f"b{number}") for number in range(60)]
BOTH = np.repeat([0, 1, 9, 10, 999, 1000, 50_000, 5, 100, 7], 10)


@pytest.fixture
def counts(tmp_path):
    nothing = np.zeros(160, dtype=np.int64)
    both = np.concatenate([BOTH, np.arange(60) // 20 * 30])
    about = {"bytes": 4000, "sample": ["four", ""]}
    write_counts(tmp_path / "c.jsonl", about, [*FACTS, *OTHERS], nothing, nothing, both)
    return read_counts(tmp_path / "c.jsonl")


def facts_of(series):
    return OTHERS if series == "background" else FACTS


def answered(correct_of=lambda question: question.fact % 2 == 0):
    questions = [
        Question(fact, "", ("a", "b"), 0, series)
        for series, facts in (("held_out", 100), ("control", 100), ("background", 60))
        for fact in range(facts)
    ]
    n = len(questions)
    correct = np.array([bool(correct_of(question)) for question in questions])
    return Outcomes(questions, correct, np.zeros(n), np.full(n, np.nan), np.full(n, 0.5), 1.0)


def test_each_range_of_counts_with_enough_questions_is_a_series(counts):
    outcomes = answered()
    found = base_counts(outcomes.questions, facts_of, counts)
    assert found[:100].tolist() == BOTH.tolist()
    assert set(found[100:200]) == {-1}  # controls are not broken down
    records = count_records(3, 30, outcomes, found)
    assert {record.probe: record.n for record in records} == {
        "held_out/count/0": 10, "held_out/count/1-9": 40, "held_out/count/10-99": 10, "held_out/count/100-999": 20,
        "held_out/count/1000+": 20, "background/count/0": 20, "background/count/10-99": 40,
    }  # fmt: skip
    assert {(record.step, record.tokens, record.accuracy, record.extra["chance"]) for record in records} == {
        (3, 30, 0.5, 0.5)
    }


def test_few_questions_and_unknown_facts_are_no_series(counts):
    outcomes = answered()
    edited = [fact._replace(object="new") for fact in FACTS]
    found = base_counts(outcomes.questions, lambda series: edited if series == "held_out" else OTHERS[:29], counts)
    assert set(found[:200]) == {-1}
    assert [record.probe for record in count_records(0, 0, outcomes, found)] == ["background/count/0"]


def test_occurrences_add_epochs_and_exposures(counts):
    tokens = counted_tokens(counts.about, Letters())
    assert tokens == 4000  # one a letter
    shown = Shown(np.arange(100), 1000)
    x = CorpusCounts(counts, tokens).occurrences(answered(), facts_of, 7000, shown)
    assert x[:100] == pytest.approx(1.5 * BOTH + np.arange(100))
    assert np.isnan(x[100:200]).all()
    assert x[200:] == pytest.approx(1.5 * (np.arange(60) // 20 * 30))  # nothing of the background is infused


def test_the_fitted_law_is_in_the_record_of_its_series(counts):
    outcomes = answered(lambda question: question.fact * 7 % 10 < 3 + 5 * (question.fact >= 30))
    records = series_records(5, 50, outcomes)
    x = np.where(np.arange(260) < 200, np.arange(260) % 100, np.nan)
    found = {record.probe: record.extra for record in with_efficiency(records, outcomes, x, facts_of)}
    assert found["held_out"]["efficiency"]["n"] == 100
    assert found["held_out"]["efficiency"]["alpha"] > 0
    assert found["held_out"]["chance"] == 0.5
    answers = found["held_out"]["answers"]
    assert answers["facts"] == [f"{entry_key(fact):016x}" for fact in FACTS]
    assert answers["occurrences"] == list(range(100))
    assert answers["correct"] == [int(number * 7 % 10 < 3 + 5 * (number >= 30)) for number in range(100)]
    assert not {"efficiency", "answers"} & found["control"].keys()
    assert found["background"]["efficiency"] == {"reason": "0 answers, fewer than 50", "n": 0}
    why = with_efficiency(records, outcomes, "nobody knows", facts_of)
    assert why[0].extra["efficiency"] == {"reason": "nobody knows", "n": 0}


def counted_run(here, counts=lambda place: place % 4 * 6, counted=None):
    write_facts(here, people(24))
    facts = read_knowledge(here / "facts.jsonl").facts
    both = np.array([counts(place) for place in range(len(facts))])
    about = {"bytes": 96 * 400, "sample": ["abc"]}
    write_counts(here / "c.jsonl", about, facts[:counted], *[both[:counted]] * 3)
    retention = {"every": 0.5, "control": 0, "corpus_counts": str(here / "c.jsonl"), "probes": {"facts": 24}}
    return make_run(here, {"frequency": 5}, config={"retention": retention})


def test_a_run_logs_accuracy_by_count_and_the_law_at_its_end(tmp_path):
    session = Session(counted_run(tmp_path))
    session.step_end(0)
    train(session)
    session.end(session.run.steps)
    log = read_run_log(session.run.folder / "kis.jsonl")
    by_step = {step: [record for record in log.retention if record.step == step] for step in (0, 50, 100)}
    series = {record.probe: record.n for record in by_step[0]}
    assert series["held_out/count/10-99"] == 12  # of 24: the other buckets hold fewer than are worth a series
    assert all({record.probe for record in records} == set(series) for records in by_step.values())
    assert not any("efficiency" in record.extra for step in (0, 50) for record in by_step[step])
    held_out = next(record for record in by_step[100] if record.probe == "held_out")
    assert held_out.extra["efficiency"] == {"reason": "24 answers, fewer than 50", "n": 24}


def test_a_run_knows_its_exposures_so_far(tmp_path):
    session = Session(counted_run(tmp_path))
    session.step_end(0)
    train(session, 0, 200)
    half = session.run.session.shown()
    train(session, 200)
    shown = session.run.session.shown()
    assert shown.exposures.tolist() == [5] * 24
    record = session._run_record()
    assert shown.tokens == record.infused_tokens
    assert 0 < half.exposures.sum() < 5 * 24
    assert half.tokens == pytest.approx(record.infused_tokens * half.exposures.sum() / 120, abs=1)


def test_uncounted_facts_stop_the_run_at_its_start(tmp_path):
    with pytest.raises(KISError, match=r"retention.corpus_counts: .*c.jsonl: found no count for fact 'P19:21'"):
        Session(counted_run(tmp_path, counted=20))
    assert not (tmp_path / "runs").exists()


def test_text_without_bytes_has_no_tokens():
    assert counted_tokens({"bytes": 0, "sample": []}, Letters()) == 0
    assert json.dumps(counted_tokens({"bytes": 10, "sample": ["ab"]}, Letters())) == "10.0"
