"""The table of a sweep's runs: states, steps, times, the time left, and one bad folder that spoils only its row."""

from __future__ import annotations

import io
import json
import os
import time
from dataclasses import replace

import pytest
from click.testing import CliRunner
from filelock import FileLock

from kis_plugin.cli.main import main
from kis_plugin.run.log import LOG_NAME, End, Retention, RunLogWriter
from kis_plugin.run.log import Run as RunRecord
from kis_plugin.storage.terminal import safe_console
from kis_sweep.folder import State, failure_of, runs_of, states_of
from kis_sweep.progress.attempts import elapsed_seconds, note_begin, note_end
from kis_sweep.progress.course import Course, courses_of, seconds_left
from kis_sweep.progress.table import courses_table, summary_of, time_text
from kis_sweep.run_spec import Recipe, Shape, SweepRun
from kis_sweep.run_spec_file import sweep_run_text

SHAPE = Shape(layers=2, width=32, heads=2, key_heads=2, feed_forward=88, vocabulary=512, tied=True)
WIDE = replace(SHAPE, width=64)
RECIPE = Recipe(
    steps=100, batch=4, sequence_length=32, learning_rate=0.01, least_rate=0.1, warmup=0.05, weight_decay=0.1, clip=1.0,
    precision="32", compile=False, saves=2, keep_model=False, seed=0,
)  # fmt: skip


@pytest.fixture
def sweep(tmp_path):
    folder = tmp_path / "sweep"
    folder.mkdir()
    (folder / "sweep.yaml").write_text("{}\n")
    (folder / "facts.jsonl").write_text('{"subject": "a", "relation": "r", "object": "b"}\n')
    for seed in range(5):
        run = SweepRun(folder, "", "hf", 8.0, SHAPE, replace(RECIPE, seed=seed))
        run = replace(run, name=run.planned_name)
        run.settings.parent.mkdir(parents=True)
        run.settings.write_text(sweep_run_text(run))
        run.config.write_text(f"knowledge: ../../facts.jsonl\ninfusion: {{frequency: 8}}\nseed: {seed}\n")
    return folder


def write(run, step, accuracy, end=None):
    writer = RunLogWriter(run.logs / "id")
    writer.write(RunRecord(run_id="id", params=run.shape.params, tokens=run.recipe.tokens, frequency=8))
    writer.write(Retention(step=step, tokens=step, probe="held_out", accuracy=accuracy, n=100))
    if end:
        writer.write(End(status=end, step=step, tokens=step))
    writer.close()
    run.work.mkdir(parents=True, exist_ok=True)


def events(run, *times):
    """Note attempts: begin, end, begin, ..."""
    lines = [{"event": "begin" if at % 2 == 0 else "end", "time": value} for at, value in enumerate(times)]
    (run.work / "attempts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def kis(*words):
    return CliRunner().invoke(main, [str(word) for word in words], env={"COLUMNS": "80"})


def test_status_has_a_row_for_each_state_and_the_time_left(sweep):
    waiting, running, interrupted, finished, failed = runs_of(sweep)
    write(finished, 100, 0.7, "completed")
    events(finished, 1000.0, 1200.0)  # 2 s per step
    write(running, 50, 0.5)
    events(running, time.time() - 160)
    logged = time.time() - 60  # 50 steps in 100 s, and 60 s since
    os.utime(running.logs / "id" / LOG_NAME, (logged, logged))
    write(interrupted, 25, 0.3)
    events(interrupted, 1000.0, 1050.0)
    write(failed, 10, 0.25)
    failure_of(failed).write_text("CUDA out of memory\n")
    with FileLock(running.work / ".lock"):
        outcome = kis("sweep", "status", sweep)
    assert outcome.exit_code == 0, outcome.output
    rows = {line.split()[0]: line.split()[1:] for line in outcome.stdout.splitlines() if line.startswith(" N")}
    assert rows[waiting.name] == ["waiting", "0/100"]
    assert rows[running.name][:3] == ["running", "50/100", "0.500"]
    assert rows[interrupted.name] == ["interrupted", "25/100", "0.300", "0:50"]
    assert rows[finished.name] == ["finished", "100/100", "0.700", "3:20"]
    assert rows[failed.name][:3] == ["failed", "10/100", "0.250"]
    # 50 steps run, 100 wait and 75 were interrupted, at 350 s for 175 steps, one at a time; 60 s of the 50 have passed.
    assert (
        "1 running, 1 interrupted, 1 failed, 1 finished, 1 waiting; about 6 min 30 s left, one after the other."
        in outcome.stdout
    )
    assert f"{failed.name}: CUDA out of memory" in outcome.stdout


def test_one_bad_folder_spoils_only_its_row(sweep):
    first, second, third, *_ = runs_of(sweep)
    (sweep / "configs" / first.name / "run.yaml").write_bytes(b"\xff\x00{")
    (second.logs / "id" / LOG_NAME).mkdir(parents=True)
    third.work.mkdir(parents=True)
    failure_of(third).write_bytes(b"\xff broken\n")
    (third.work / "attempts.jsonl").write_bytes(b'{"event": "begin"}\n[1]\n\xff\n')
    outcome = kis("sweep", "status", sweep)
    assert outcome.exit_code == 0, outcome.output
    rows = {line.split()[0]: line.split()[1] for line in outcome.stdout.splitlines() if line.startswith(" N")}
    assert [rows[run.name] for run in (first, second, third)] == ["unreadable", "failed", "failed"]
    assert sorted(rows.values()) == ["failed", "failed", "unreadable", "waiting", "waiting"]
    assert "run.yaml" in outcome.stderr
    found = json.loads(kis("sweep", "status", sweep, "--json").stdout)["runs"]
    assert [run["state"] for run in found].count("unreadable") == 1


def test_a_usual_name_stays_on_one_line(sweep):
    run = replace(runs_of(sweep)[0], name="N992K-L5-d112-D2.25M-F402-seed0", recipe=replace(RECIPE, steps=2200))
    out = safe_console(width=80, file=io.StringIO(), record=True)
    out.print(courses_table([Course(State(run, "interrupted"), 2200, 3725.0)]))
    assert "N992K-L5-d112-D2.25M-F402-seed0   interrupted   2200/2200" in out.export_text()


def test_the_table_fits_80_columns_with_long_names(sweep):
    run = replace(
        runs_of(sweep)[0], name="N70.4M-L12-d1024-trained-D1.41B-F1024-seed10", recipe=replace(RECIPE, steps=123456)
    )
    shown = courses_table([Course(State(run, "interrupted"), 120000, 90061.0)], ["N1M-unreadable-seed0"])
    out = safe_console(width=80, file=io.StringIO(), record=True)
    out.print(shown)
    text = out.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert {"interrupted", "120000/123456", "25:01:01"} <= set(text.split())
    assert "…" not in text


@pytest.mark.parametrize(
    ("times", "running", "expected"),
    [((), False, None), ((10.0, 30.0, 50.0, 55.0), False, 25.0), ((10.0, 30.0, 1000.0), False, 40.0)],
)
def test_time_spent_counts_all_attempts(sweep, times, running, expected):
    run = runs_of(sweep)[0]
    write(run, 1, 0.5)
    if times:
        events(run, *times)
    os.utime(run.logs / "id" / LOG_NAME, (1020.0, 1020.0))  # a killed attempt lasted until its log's last line
    assert elapsed_seconds(run, running) == expected


def test_attempts_are_noted(sweep):
    run = runs_of(sweep)[0]
    run.work.mkdir(parents=True)
    note_begin(run)
    assert elapsed_seconds(run, running=True) < 5
    note_end(run)
    assert 0 <= elapsed_seconds(run, running=False) < 5


def test_sizes_without_a_measured_step_take_planned_or_proportional_time(sweep):
    done, other, *_ = runs_of(sweep)
    large = replace(other, shape=WIDE, name="large")
    courses = [Course(State(done, "finished"), 100, 200.0), Course(State(large, "waiting"), 0, None)]
    assert seconds_left(courses, {}) == pytest.approx(100 * 2 * WIDE.params / SHAPE.params)
    planned = {SHAPE.params: 1.0, WIDE.params: 5.0}  # this machine takes twice as long as planned
    assert seconds_left(courses, planned) == pytest.approx(100 * 5.0 * 2)
    assert seconds_left(courses[1:], {}) is None
    assert summary_of(courses[1:], {}) == "1 waiting"


@pytest.mark.parametrize(
    ("at_once", "expected"),
    [
        (None, 190.0 + 200 + 200 + 150),  # one is running: the others follow it
        (2, 190.0 + 200),  # the other slot takes 200, then 150
        (3, 190.0 + 150),  # beside 200 and 200
        (9, 200.0),
    ],
)
def test_runs_that_wait_begin_where_another_ends(sweep, at_once, expected):
    running, waiting, other, interrupted, done = runs_of(sweep)
    courses = [
        Course(State(running, "running"), 0, 10.0, 10.0),
        Course(State(waiting, "waiting"), 0, None),
        Course(State(other, "waiting"), 0, None),
        Course(State(interrupted, "interrupted"), 25, 50.0),
        Course(State(done, "finished"), 100, 200.0),
    ]
    assert seconds_left(courses, {}, at_once) == pytest.approx(expected)


def test_the_time_left_falls_between_two_lines_of_a_log(sweep):
    run = runs_of(sweep)[0]
    early, late = (Course(State(run, "running"), 40, 80.0 + since, since) for since in (0.0, 50.0))
    assert seconds_left([early], {}) == pytest.approx(120)
    assert seconds_left([late], {}) == pytest.approx(70)
    overdue = Course(State(run, "running"), 40, 380.0, 300.0)
    assert seconds_left([overdue], {}) == 0


@pytest.mark.parametrize(
    ("elapsed", "says"),
    [(2.0, "about 10 s left"), (283.0, "about 4 min 40 s left"), (299.0, "about 5 min left"), (1234.0, "about 21 min")],
)
def test_an_estimate_has_no_digits_that_it_cannot_know(sweep, elapsed, says):
    done, waiting, *_ = runs_of(sweep)
    courses = [Course(State(done, "finished"), 100, elapsed), Course(State(waiting, "waiting"), 0, None)]
    assert says in summary_of(courses, {}, at_once=2)
    assert summary_of(courses, {}, at_once=2).endswith("2 at a time")


def test_a_run_that_begins_is_running_before_its_first_record(sweep):
    run = runs_of(sweep)[0]
    run.work.mkdir(parents=True)
    with FileLock(run.work / ".lock"):
        assert states_of([run])[0].state == "running"
    assert [course.state.state for course in courses_of(states_of([run]))] == ["waiting"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (59.6, "1 min"), (8.2, "8 s"), (7500, "2 h 05 min"), (200_000, "2 d 7 h")]
)
def test_times_as_people_write_them(seconds, text):
    assert time_text(seconds) == text
