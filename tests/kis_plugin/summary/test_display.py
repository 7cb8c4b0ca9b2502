"""While a run trains: a row at each evaluation and a summary at its end, above the bars of its host."""

from __future__ import annotations

import io
import json
import re
import sys

import pytest

from kis_plugin.plugins.session import Session
from kis_plugin.run.log import LOG_NAME, Loss, Retention, read_run_log
from kis_plugin.run.notice import above_bars
from kis_plugin.summary.history import history_of
from kis_plugin.summary.texts import EvaluationTable, summary_lines
from tests.world.facts import people, write_facts
from tests.world.plain import make_run, train

pytest.importorskip("torch")


@pytest.fixture
def said(tmp_path):
    write_facts(tmp_path, people(16))
    return []


def started(tmp_path, said, state=None, **keys):
    return Session(make_run(tmp_path, {"frequency": 5, "template_order": "first"}, notify=said.append, **keys), state)


def test_the_live_rows_and_the_summary_are_those_of_the_log(tmp_path, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = started(tmp_path, said)
    session.step_end(0)
    session.loss(40, "eval", 3.5)
    train(session)
    session.end(100)
    log = read_run_log(tmp_path / "runs" / "r" / LOG_NAME)
    history, rows = history_of(log), EvaluationTable()
    expected = [f"kis: {line}" for one in history.evaluations for line in rows.lines(history, one)]
    assert len(expected) == 4  # a head, and steps 0, 50 and 100
    assert [line for line in said if line in expected] == expected
    lines = list(summary_lines(history, "kis show runs/r"))
    assert said[-1] == "\n".join(["", f"kis: {lines[0]}", *lines[1:]])
    assert "each exactly 5 times" in said[-1]
    assert log.end.extra["wall_seconds"] > 0


def test_a_resumed_run_shows_the_whole_course_and_both_starts_time(tmp_path, said):
    session = started(tmp_path, said)
    session.step_end(0)
    train(session, 0, 200)
    session.save(50)
    state = json.loads(json.dumps(session.state()))
    session.end(50)
    state["wall_seconds"] += 1000.0
    said.clear()
    session = started(tmp_path, said, state, start_step=50)
    train(session, 200)
    session.end(100)
    assert [line.split()[1] for line in said if re.match(r"kis: +\d", line)] == ["100"]
    assert "3 evaluations" in said[-1]
    assert read_run_log(tmp_path / "runs" / "r" / LOG_NAME).end.extra["wall_seconds"] > 1000


@pytest.mark.parametrize(("value", "shown"), [("1", False), ("", True), ("0", True)])
def test_kis_quiet_silences_table_and_summary(tmp_path, said, monkeypatch, value, shown):
    monkeypatch.setenv("KIS_QUIET", value)
    session = started(tmp_path, said)
    session.step_end(0)
    train(session)
    session.end(100)
    assert any("verdict" in line for line in said) is shown
    assert any("step  held-out" in line for line in said) is shown
    assert any("evaluating" in line for line in said)  # other lines stay


def test_other_ranks_show_nothing(tmp_path, said):
    from kis_plugin.run.ranks import Ranks

    session = started(tmp_path, said, ranks=Ranks(rank=1, size=2))
    session.publish([Retention(step=1, tokens=1, probe="held_out", accuracy=0.5, n=4)])
    session.end(0)
    assert not [line for line in said if "held-out" in line]


def test_a_loss_of_another_step_carries_its_step(tmp_path):
    from tests.world.run_logs import RISES, write_log

    log = read_run_log(write_log(tmp_path / "r", RISES) / LOG_NAME)
    history = history_of(log.__class__(**{**vars(log), "loss": (Loss(step=150, tokens=1, split="eval", loss=3.25),)}))
    rows = [line for one in history.evaluations for line in EvaluationTable().lines(history, one)]
    assert [row.endswith("3.250 @150") for row in rows if "step" not in row] == [False, True, True]


def test_a_line_stands_above_a_bar_that_is_drawn_again(monkeypatch):
    tqdm = pytest.importorskip("tqdm").tqdm
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with tqdm(total=4, file=screen, ascii=True, mininterval=0, ncols=40) as bar:
        bar.update()
        above_bars("kis: a line")
    shown = screen.getvalue()
    before, after = shown.split("kis: a line\n")
    assert re.search(r"\r +\r$", before)  # the bar was taken away first
    assert "25%" in after  # and drawn again


def test_a_line_without_bars_is_written_as_it_is(capsys):
    above_bars("kis: a\x1b[31m line")
    assert capsys.readouterr().err == "kis: a\\x1b[31m line\n"


def test_a_damaged_log_of_the_first_part_does_not_stop_a_resume(tmp_path, said):
    session = started(tmp_path, said)
    session.step_end(0)
    train(session, 0, 200)
    session.save(50)
    state = json.loads(json.dumps(session.state()))
    path = tmp_path / "runs" / "r" / LOG_NAME
    path.write_text("[1]\n" + path.read_text())
    said.clear()
    session = started(tmp_path, said, state, start_step=50)
    train(session, 200)
    session.end(100)
    assert any("will lack the evaluations before step 50" in line for line in said)
    assert '"completed"' in path.read_text().splitlines()[-1]
