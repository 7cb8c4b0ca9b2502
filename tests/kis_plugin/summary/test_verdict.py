"""The verdict: one sentence for each way in which a run can end."""

from __future__ import annotations

import re

import pytest

from kis_plugin.retention.intervals import difference, wilson
from kis_plugin.run.log import LOG_NAME, End, Retention, Run, RunLogWriter, read_run_log
from kis_plugin.summary.history import history_of
from kis_plugin.summary.verdict import verdict_of
from tests.world.run_logs import RISES, write_log

FLAT = [0.25, 0.25, 0.25]


def verdict(folder):
    return verdict_of(history_of(read_run_log(folder / LOG_NAME)))


@pytest.mark.parametrize(
    ("name", "says", "series", "keys"),
    [
        ("retained", r"0.800, \+0.540", RISES, {}),
        ("retained", "more templates", {**RISES, "held_out": [0.25, 0.4, 0.5]}, {}),
        ("retained", "chance is 0.250", {"qa": [0.25, 0.5, 0.7]}, {}),
        ("collapsed", r"0.800 \(step 200\) to 0.600", {**RISES, "held_out": [0.25, 0.8, 0.6]}, {}),
        ("forgotten", "seen templates fell", {**RISES, "held_out": [0.25, 0.8, 0.6], "seen": [0.3, 0.9, 0.6]}, {}),
        ("leaked", r"rose from 0.250 to 0.600", {**RISES, "control": [0.25, 0.4, 0.6]}, {}),
        ("uninfused", "without any exposure", {"held_out": FLAT}, {"run": {"frequency": 0}}),
        ("not measured", "no retention", {}, {}),
        ("diverged", "logits are NaN at step 7", RISES,
         {"end": {"status": "diverged", "extra": {"diverged": "logits are NaN at step 7"}}}),
        ("failed", "step 400", RISES, {"end": {"status": "failed"}}),
        ("miscounted", "3 facts", RISES, {"end": {"extra": {"miscounted": 3}}}),
        ("miscounted", "another plan", RISES, {"end": {"extra": {"mismatched": {"seed": [0, 1]}}}}),
        ("miscounted", "from step 20", RISES, {"end": {"extra": {"counted_from_step": 20}}}),
    ],
)  # fmt: skip
def test_each_end_has_its_verdict(tmp_path, name, says, series, keys):
    found = verdict(write_log(tmp_path / "r", series, **keys))
    assert found.name == name
    assert re.search(says, found.sentence), found.sentence


@pytest.mark.parametrize(
    ("reason", "series", "keys"),
    [
        ("cannot tell", {"held_out": FLAT}, {"n": 40}),
        ("learnt by heart, as seen templates are right at 0.90", {"held_out": FLAT, "seen": [0.25, 0.6, 0.9]}, {}),
        ("42% of all tokens", {"held_out": FLAT}, {"run": {"share": 0.42}}),
        ("D = 0.5 tokens per parameter", {"held_out": FLAT}, {"run": {"params": 40_000_000}}),
        ("8 exposures are few", {"held_out": FLAT}, {"run": {"frequency": 8}}),
        ("64 exposures are too few", {"held_out": FLAT}, {}),
    ],
)
def test_at_chance_names_the_likeliest_reason(tmp_path, reason, series, keys):
    found = verdict(write_log(tmp_path / "r", series, **keys))
    assert (found.name, reason in found.sentence) == ("at chance", True), found.sentence


def test_a_fall_within_the_noise_is_no_collapse(tmp_path):
    assert verdict(write_log(tmp_path / "r", {"held_out": [0.25, 0.81, 0.79]})).name == "retained"


def test_what_a_model_knew_before_is_no_leak(tmp_path):
    assert verdict(write_log(tmp_path / "r", {**RISES, "control": [0.6, 0.6, 0.6]})).name == "retained"


def test_above_chance_but_not_above_control_is_not_retained(tmp_path):
    found = verdict(write_log(tmp_path / "r", {"held_out": [0.5, 0.5, 0.5], "control": [0.48, 0.5, 0.5]}))
    assert found.name == "at chance"
    assert found.sentence.startswith("At control: ")


def test_logs_of_other_programs_get_intervals_and_chance(tmp_path):
    writer = RunLogWriter(tmp_path)
    writer.write(Run(run_id="x", params=1, tokens=100, frequency=4, options=5))
    writer.write(Retention(step=1, tokens=100, probe="held_out", accuracy=0.5, n=100))
    writer.write(Retention(step=1, tokens=100, probe="control", accuracy=0.2, n=100))
    writer.close()
    history = history_of(read_run_log(tmp_path / LOG_NAME))
    point = history.last("held_out")
    assert (round(point.low, 3), round(point.high, 3), point.chance) == (0.404, 0.596, 0.2)  # Wilson, by hand
    above = history.last("above_control")
    assert (above.accuracy, above.low, above.high) == pytest.approx(
        difference(point.interval, history.last("control").interval)
    )


def test_the_interval_of_a_difference_is_newcombes():
    # Newcombe 1998, table II, case (a): 56 of 70 and 48 of 80.
    value, low, high = difference((56 / 70, *wilson(56 / 70, 70)), (48 / 80, *wilson(48 / 80, 80)))
    assert (round(value, 4), round(low, 4), round(high, 4)) == (0.2000, 0.0524, 0.3339)


def test_an_end_that_a_resumed_run_has_gone_beyond_is_none(tmp_path):
    folder = write_log(tmp_path / "r", RISES, end={"status": "stopped"})
    writer = RunLogWriter(folder)
    writer.write(Retention(step=500, tokens=25_000_000, probe="held_out", accuracy=0.9, n=400))
    writer.close()
    history = history_of(read_run_log(folder / LOG_NAME))
    assert history.log.end is None
    assert history.last("held_out").accuracy == 0.9
    writer = RunLogWriter(folder)
    writer.write(End(status="completed", step=500, tokens=25_000_000))
    writer.close()
    assert history_of(read_run_log(folder / LOG_NAME)).log.end.status == "completed"


def test_few_controls_are_named_where_they_leave_the_difference_open(tmp_path):
    log = write_log(tmp_path / "r", {"held_out": [0.25, 0.4, 0.6], "control": [0.25, 0.35, 0.35]}, n=20)
    assert re.search(
        r"^At control: held-out ends at 0.600, above chance\. 20 control probes leave the difference anywhere from "
        r"-0\.\d\d to \+0\.\d\d, which cannot tell\.",
        verdict(log).sentence,
    )
