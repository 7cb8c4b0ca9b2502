"""The soak: what it counts, that it notices a fault, and that a few kills pass."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks import soak
from benchmarks.faults import logs, small_runs
from benchmarks.faults.result import Result
from benchmarks.faults.runs import Timeline, run_timeline
from benchmarks.faults.timeline import FACTS, Witness, count_facts, surviving_rows, verdict
from kis_plugin.run.exposure_file import SavedExposures, read_exposures, write_exposures

RIGHT = dict.fromkeys(range(4, FACTS), 5)


@pytest.fixture
def log(tmp_path):
    end = {"type": "end", "status": "completed", "achieved_frequency": {"min": 5, "max": 5}, "miscounted": 0}

    def write(**changes):
        path = tmp_path / "kis.jsonl"
        path.write_text(json.dumps({"type": "run"}) + "\n" + json.dumps(end | changes) + "\n")
        return path

    return write


def test_batches_beyond_the_checkpoint_are_not_counted(tmp_path):
    first = Witness(tmp_path, 0)
    for step in range(5):
        first.batch(step, [[step]])
    with (tmp_path / "batches.jsonl").open("a") as file:
        file.write('{"step": 5, "ro\n')  # torn by the kill
    again = Witness(tmp_path, 3)
    again.batch(3, [[30]])
    assert surviving_rows(tmp_path) == [[0], [1], [2], [30]]


def test_facts_are_found_by_whole_names_in_whole_texts():
    texts = [
        "Person1 was born in Town1.<eos>Person11 was born in Town3.<eos>Person1 was born in Town1.",
        "Person1 and Town9<eos>Person2 was born in Town21.<eos>Town2 is where Person2 was born.<eos>",
    ]
    counts = count_facts([[0], [1]], lambda row: texts[row[0]], "<eos>")
    assert {number: count for number, count in counts.items() if count} == {1: 1, 11: 1, 2: 1}


def test_right_counts_pass(log):
    assert verdict(RIGHT, 5, log(), controls=4) == ""
    assert verdict(RIGHT, 5, log(achieved_frequency={}, counted_from_step=6), controls=4) == ""


@pytest.mark.parametrize(
    ("counts", "changes", "found"),
    [
        ({7: 6}, {}, "requested 5 exposures, shown: {7: 6}"),
        ({7: 0}, {}, "5 facts were never shown, 4 are controls"),
        ({0: 5}, {}, "3 facts were never shown, 4 are controls"),
        ({}, {"achieved_frequency": {"min": 4, "max": 5}}, "shown 5 times each, the log says"),
        ({}, {"miscounted": 2}, "shown 5 times each, the log says"),
        ({}, {"status": "stopped"}, "the log does not say that the run is complete"),
    ],
)
def test_a_count_that_is_off_is_noticed(log, counts, changes, found):
    assert verdict(RIGHT | counts, 5, log(**changes), controls=4).startswith(found)


def test_partial_counts_are_those_from_the_step_that_the_log_names(log):
    partial = {"counted_from_step": 24, "achieved_frequency": {"min": 2, "max": 3}}
    later = dict.fromkeys(range(4, FACTS), 2) | {7: 3}
    assert verdict(RIGHT, 5, log(**partial), 4, lambda step: later if step == 24 else {}) == ""
    found = verdict(RIGHT, 5, log(**partial), 4, lambda step: later | {7: 4})
    assert found == "from step 24 on shown 2 to 4 times, the log says {'min': 2, 'max': 3}"


def test_rows_before_a_step_are_left_out(tmp_path):
    witness = Witness(tmp_path, 0)
    for step in range(5):
        witness.batch(step, [[step]])
    assert surviving_rows(tmp_path, 3) == [[3], [4]]


def _count_one_more(folder):
    for path in folder.glob("runs/*/exposures-*.npz"):
        saved = read_exposures(path)
        write_exposures(path, SavedExposures(saved.counts + (np.arange(len(saved.counts)) == 3), 0, saved.items))


@pytest.mark.slow
@pytest.mark.parametrize("meddle", [None, _count_one_more], ids=["untouched", "a count that is off"])
def test_a_killed_run_is_exact_and_a_false_count_is_noticed(tmp_path, meddle):
    timeline = Timeline("trainer", stream=False, workers=0, kills=1, seed=6)
    result = run_timeline(timeline, tmp_path, meddle)
    assert sum(count for fault, count in result.injected.items() if "killed in" in fault) == 1
    if meddle is None:
        assert (result.survived, result.failures) == (result.injected, [])
        return
    (failure,) = result.failures
    assert f"shown {small_runs.FREQUENCY} times each, the log says" in failure
    assert not result.survived


def test_damaged_logs_are_survived_and_what_breaks_a_reader_is_noticed(tmp_path, monkeypatch):
    result = logs.damage_logs(20, 0, tmp_path / "one")
    assert (sum(result.injected.values()), result.survived, result.failures) == (20, result.injected, [])
    read = logs.read_runs

    def broken(folder):
        if folder.name != "whole":
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        return read(folder)

    monkeypatch.setattr(logs, "read_runs", broken)
    noticed = logs.damage_logs(3, 0, tmp_path / "two")
    assert len(noticed.failures) == 3
    assert all("UnicodeDecodeError" in failure for failure in noticed.failures)


def test_changed_runs_without_the_name_of_the_file_are_noticed(tmp_path, monkeypatch):
    read = logs.read_runs
    monkeypatch.setattr(logs, "read_runs", lambda folder: read(folder)[: 9 if folder.name == "whole" else 8])
    monkeypatch.setattr(logs, "DAMAGES", {"zeros": lambda raw, rng: raw})
    assert "is not named" in logs.damage_logs(1, 0, tmp_path).failures[0]


def test_the_command_prints_a_table_and_ends_with_1_after_a_failure(monkeypatch, capsys, tmp_path):
    found = Result(Counter({"a": 3, "b": 1}), Counter({"a": 3}), ["b: seed 0"])
    monkeypatch.setattr(soak, "_run", lambda parts, folder, jobs: [found])
    assert soak.main(["--only", "logs", "--table", str(tmp_path / "table.md")]) == 1
    shown = capsys.readouterr()
    assert "| b | 1 | 0 |" in shown.out
    assert "| all | 4 | 3 |" in shown.out
    assert "FAILED: b: seed 0" in shown.err
    assert (tmp_path / "table.md").read_text().splitlines()[0] == "| fault | injected | survived |"


def test_kills_are_shared_among_hosts_and_conditions():
    parts = soak._parts(["trainer", "sweep"], kills=15, seed=0)
    assert sum(part.args[-2] for part in parts) == 15
    assert max(part.args[-2] for part in parts) == soak.EACH
