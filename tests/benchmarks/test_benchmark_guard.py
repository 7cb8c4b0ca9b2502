"""The benchmark of the guard: what it counts, on made-up runs, and that real ones pass through it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("transformers")

from benchmarks.guard import main
from benchmarks.guarding.fate import Witnessed
from benchmarks.guarding.judged import Judged, Rate, delays, judge, loss_onset, rate
from benchmarks.guarding.replay import RISE, SETTINGS, alarm_of, loss_alarm_of, verdicts_of
from benchmarks.guarding.trace import Probe, Trace
from benchmarks.guarding.witness import WitnessProbe
from kis_plugin.knowledge.facts import Fact, Templates
from kis_plugin.retention.questions.distractors import option_sets
from kis_plugin.retention.questions.question_maker import QuestionMaker

FACTS = 200
SERIES = ("held_out", "seen", "witness/held_out", "witness/seen")
PROBES = tuple(
    Probe(fact, f"{series} {fact} ", series)
    for first, series in zip((0, 0, FACTS, FACTS), SERIES, strict=True)
    for fact in range(first, first + FACTS)
)


def trace(held_out, seen, witness=None, witness_seen=None):
    """A run in which so many facts of each series are right at each evaluation, in an order that mixes the sets."""
    order = np.random.default_rng(5).permutation(FACTS)
    heights = (held_out, seen, witness or held_out, witness_seen or seen)
    evaluations = [
        (10 * number, "".join("1" if place < right else "0" for right in at for place in order.tolist()))
        for number, at in enumerate(zip(*heights, strict=True))
    ]
    return Trace(
        "made up", 0, 10 * (len(held_out) - 1), 1 / (len(held_out) - 1), {"params": 1}, PROBES, (*evaluations,)
    )


RISES = [50, 90, 130]
STAYS = [*RISES, 129, 128, 129]
FALLS = [*RISES, 100, 90, 80]
LEARNT = [50, 120, 200, 200, 200, 200]


@pytest.mark.parametrize(
    ("held_out", "seen", "fate"),
    [
        (STAYS, LEARNT, "keeps"),
        ([*RISES, 128, 127, 126], LEARNT, "keeps"),  # by less than the part DROP
        ([*RISES, 60, 129, 128], LEARNT, "keeps"),  # it did not last
        ([*RISES, 100, 128, 110], LEARNT, "collapses"),
        (FALLS, LEARNT, "collapses"),
        (FALLS, [50, 120, 200, 150, 130, 110], "forgets"),
    ],
)
def test_the_witness_judges_without_what_the_guard_saw(held_out, seen, fate):
    assert Witnessed(trace(STAYS, LEARNT, held_out, seen)).fate().verdict == fate
    assert Witnessed(trace(FALLS, LEARNT, held_out, seen)).fate().verdict == fate


def test_a_fall_that_recovers_counts_at_its_time_alone():
    witnessed = Witnessed(trace(STAYS, LEARNT, [50, 90, 130, 80, 128, 131], LEARNT))
    assert (witnessed.fate(30).fell, witnessed.fate(30).verdict) == (True, "unclear")
    assert witnessed.fate().verdict == "keeps"
    assert witnessed.peak == 20


@pytest.mark.parametrize("height", [0.5, 0.9])
def test_the_best_of_many_noisy_evaluations_is_no_peak(height):
    draws, p_values = np.random.default_rng(0), []
    for _ in range(60):
        marks = draws.random((11, len(PROBES))) < height
        rows = tuple((10 * number, "".join(map(str, row.astype(int)))) for number, row in enumerate(marks))
        p_values.append(Witnessed(Trace("noise", 0, 100, 0.1, {"params": 1}, PROBES, rows)).fate().held_out.p_value)
    assert np.mean(np.array(p_values) < 0.1) < 0.2
    assert np.median(p_values) > 0.3


def test_the_guard_runs_again_with_other_settings():
    run = trace(FALLS, LEARNT)
    assert [verdict for _, verdict in verdicts_of(run, {})] == ["steady", "steady", "falling", "collapse", "collapse"]
    assert alarm_of(run, SETTINGS["default"]) == 40
    assert alarm_of(run, SETTINGS["patience 1"]) == 30
    small = trace([100, 101, 196, 184, 184, 184], LEARNT)
    assert alarm_of(small, {"min_drop": 0.2}) is None
    assert alarm_of(small, {"min_drop": 0.0}) == 40


def test_a_replay_with_another_verdict_is_refused():
    run = trace(FALLS, LEARNT, STAYS, LEARNT)
    run = replace(run, verdicts=tuple(verdicts_of(run, {"max_loss_rise": RISE})))
    found = judge(run)
    assert (found.fate, found.alarms["default"], found.fallen_then["default"]) == ("keeps", 40, False)
    assert found.heights == (130 / FACTS, pytest.approx(128.5 / FACTS))
    with pytest.raises(RuntimeError, match="when replayed"):
        judge(replace(run, verdicts=run.verdicts[1:]))


def test_loss_is_judged_on_text_the_guard_does_not_watch():
    other = [
        (step, "witness", loss) for step, loss in ((0, 4.0), (10, 3.0), (20, 3.5), (30, 3.1), (40, 3.4), (50, 3.6))
    ]
    watched = [(step, "general", 3.0 + step / 100) for step in range(0, 60, 10)]
    assert loss_onset([*other, *watched]) == 40
    assert loss_onset(other[:4]) is None
    run = replace(trace(STAYS, LEARNT), losses=(*other, *watched))
    assert loss_alarm_of(run, 0.15, 2) == 30
    assert loss_alarm_of(run, 0.15, 1) == 20
    assert loss_alarm_of(run, 0.5, 1) is None


def judged(fate, alarm, peak=20):
    return Judged("made up", 0, 100, fate, 0.5, (0.6, 0.5), peak, {"default": alarm}, {}, False, None, None)


def test_rates_and_delays_are_of_runs_of_one_fate():
    runs = [judged("keeps", None), judged("keeps", 50), judged("collapses", 50), judged("collapses", 80)]
    runs += [judged("collapses", None), judged("collapses", 40), judged("forgets", 90)]
    assert rate(runs, "keeps", "default") == Rate(1, 2)
    assert rate(runs, "collapses", "default") == Rate(3, 4)
    assert delays(runs, "default") == pytest.approx((0.3, 0.2, 0.6))
    assert delays(runs[:2], "default") is None
    assert Rate(0, 73).interval == pytest.approx((0.0, 0.05), abs=1e-3)
    assert Rate(0, 0).interval == (0.0, 1.0)


def test_a_trace_is_read_as_it_was_written(tmp_path):
    run = replace(trace(FALLS, LEARNT), losses=((0, "witness", 4.0),), verdicts=((10, "steady"),))
    run.write(tmp_path / "run.json")
    assert Trace.read(tmp_path / "run.json") == run


def test_the_witness_probes_infused_facts_nothing_else_does():
    facts = [Fact(f"s{number}", "r", f"o{number % 8}", str(number)) for number in range(40)]
    infused = np.arange(32)
    sets = option_sets(facts, infused, 4, 16, 0).sets
    sentences = Templates(tuple(f"{{subject}} {word} {{object}}." for word in ("is", "was", "has", "had")))
    maker = QuestionMaker(facts, sets, lambda relation: sentences, 0, infused=infused)
    questions = WitnessProbe().questions(maker)
    probed = {fact for one in sets for fact in one.facts}
    assert {one.fact for one in questions} == set(infused.tolist()) - probed
    assert sorted(one.prefix.split()[1] for one in questions if one.fact == questions[0].fact) == ["had", "has", "is"]
    assert {one.series for one in questions if " is " in one.prefix} == {"witness/seen"}


@pytest.mark.slow
def test_a_real_run_is_made_watched_and_judged(capsys, tmp_path):
    few = ["--runs", "1", "--steps", "20", "--only", "uninfused, small", "--workers", "1"]
    assert main([*few, "--folder", str(tmp_path), "--json", str(tmp_path / "figures.json")]) == 0
    (run,) = json.loads((tmp_path / "figures.json").read_text())["runs"]
    assert (run["scenario"], run["fate"], run["alarms"]["default"]) == ("uninfused, small", "keeps", None)
    assert "0 of 1" in capsys.readouterr().out
