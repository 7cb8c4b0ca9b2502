"""The guard: it acts where held-out retention alone falls, on all ranks alike, and goes on after a resume."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest

from kis_plugin.errors import KISError
from kis_plugin.guard.paired_test import Change, Results, SeriesResults, compare, pairwise_level
from kis_plugin.guard.plugin import Guard
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.results import Outcomes
from kis_plugin.run.log import Loss
from tests.world.facts import people, write_facts
from tests.world.plain import FakeSession, make_run

COUNT = 400


def outcomes(held_out, seen):
    """An evaluation in which the first so many questions of each series are answered rightly."""
    questions, correct = [], []
    for series, right in (("held_out", held_out), ("seen", seen)):
        questions += [Question(fact, f"{series} {fact} ", ("a", "b", "c", "d"), 0, series) for fact in range(COUNT)]
        correct += [fact < right for fact in range(COUNT)]
    size = len(questions)
    nothing = np.zeros(size)
    return Outcomes(tuple(questions), np.array(correct), nothing, nothing, np.full(size, 0.25), 0.0)


@pytest.fixture
def guarded(tmp_path):
    write_facts(tmp_path, people(24))

    def make(**guard):
        run = make_run(tmp_path, {"frequency": 5}, config={"retention": {"every": 0.1, "guard": guard}})
        session, said = FakeSession(), []
        run = replace(run, session=session, notify=said.append)
        return Guard(run), run, session.done, session.records, said

    return make


def shown(guard, run, evaluations, first=0):
    for number, one in enumerate(evaluations, start=first):
        guard.kis_outcomes(run, number * 10, outcomes(*one))


RISES = [(100, 100), (200, 250), (300, 400)]
FALLS = [*RISES, (250, 400), (240, 400)]


@pytest.mark.parametrize(
    ("action", "acts"),
    [
        ("warn", []),
        ("throttle", [("throttle", 0.5)]),
        ("stop_infusing", [("throttle", 0.0)]),
        ("stop_training", ["stop"]),
    ],
)
def test_a_lasting_fall_is_acted_on_once(guarded, action, acts):
    guard, run, done, records, said = guarded(action=action)
    shown(guard, run, [*FALLS, (230, 400)])
    assert [one if isinstance(acts[0], tuple) else one[0] for one in done] == acts
    assert [record.verdict for record in records] == ["steady", "steady", "falling", "collapse", "collapse"]
    assert [record.action for record in records] == [None, None, None, action, None]
    assert (records[3].best_step, records[3].lost, records[3].gained) == (20, 60, 0)
    assert len(said) == 1
    assert "held-out retention fell from 0.750 (step 20) to 0.600" in said[0]
    assert guard.kis_end_record()["guard"] == [{"action": action, "step": 40, "verdict": "collapse"}]


@pytest.mark.parametrize(
    "evaluations",
    [
        [*RISES, (297, 400), (295, 400), (296, 400)],  # less than the part drop
        [*RISES, (250, 400), (300, 400), (250, 400)],  # it does not last
        [*RISES, (250, 300), (240, 290)],  # seen falls too
        [(100, 100), (100, 100), (104, 100), (96, 100)],  # around chance
    ],
)
def test_other_falls_are_no_collapse(guarded, evaluations):
    guard, run, done, records, _ = guarded(action="stop_training")
    shown(guard, run, evaluations)
    assert done == []
    assert "collapse" not in {record.verdict for record in records}


def test_action_none_does_nothing(guarded):
    guard, run, done, records, said = guarded(action="none")
    shown(guard, run, FALLS)
    assert (done, records, said, guard.kis_state()) == ([], [], [], {})


def test_general_loss_above_its_limit_is_acted_on(guarded):
    guard, run, done, _, said = guarded(action="stop_infusing", max_loss_rise=0.3)
    losses = [4.0, 3.5, 3.7, 3.9, 3.9]
    for number, loss in enumerate(losses):
        guard.kis_metrics([Loss(step=number * 10, tokens=0, split="eval", loss=loss)])
        guard.kis_outcomes(run, number * 10, outcomes(200, 200))
    assert done == [("throttle", 0.0)]
    assert "general loss (eval) is 3.900, 0.400 nats above its best" in said[0]


@pytest.mark.parametrize("cut", range(1, len(FALLS)))
def test_a_resumed_run_decides_as_the_unbroken_one(guarded, cut):
    whole, run, done, records, _ = guarded(action="stop_infusing")
    shown(whole, run, FALLS)
    first, run, before, early, _ = guarded(action="stop_infusing")
    shown(first, run, FALLS[:cut])
    state = json.loads(json.dumps(first.kis_state()))
    second, run, after, late, _ = guarded(action="stop_infusing")
    second.kis_run_start(run, state)
    shown(second, run, FALLS[cut:], cut)
    assert early + late == records
    assert before + after == done
    assert second.kis_state() == whole.kis_state()


def test_a_stopped_run_is_not_resumed(guarded):
    guard, run, *_ = guarded(action="stop_training")
    shown(guard, run, FALLS)
    again, run, *_ = guarded(action="stop_training")
    with pytest.raises(KISError, match=r"a run that retention\.guard stopped at step 40"):
        again.kis_run_start(run, guard.kis_state())


def random_series(right):
    keys = np.arange(len(right), dtype=np.uint64)
    return SeriesResults(Results(keys, right), np.arange(len(right)), np.full(len(right), 0.25))


@pytest.mark.parametrize("churn", [0.02, 0.2])
def test_alarms_by_chance_stay_below_alpha(churn):
    """Results flip at random, as often one way as the other, and any earlier evaluation may be compared with."""
    rng, looks, alarms, runs = np.random.default_rng(0), 11, 0, 400
    level = pairwise_level(0.05, looks)
    for _ in range(runs):
        right = rng.random(300) < 0.5
        kept = []
        alarm = False
        for _ in range(looks):
            right = np.where(rng.random(300) < churn, rng.random(300) < 0.5, right)
            now = random_series(right)
            alarm |= any(compare(then.results, now).p_value <= level for then in kept)
            kept.append(now)
        alarms += alarm
    assert alarms / runs <= 0.05


def test_a_real_fall_is_detected():
    rng, level, seen = np.random.default_rng(1), pairwise_level(0.05, 11), 0
    for _ in range(100):
        before = rng.random(1000) < 0.6
        after = np.where(rng.random(1000) < 0.15, rng.random(1000) < 0.25, before)  # 0.6 to about 0.55
        fall = compare(random_series(before).results, random_series(after))
        seen += fall.p_value <= level
    assert seen >= 90


def only_seen(right):
    whole = outcomes(0, right)
    rows = np.array([question.series == "seen" for question in whole.questions])
    arrays = {name: getattr(whole, name)[rows] for name in ("correct", "margin", "bits_per_byte", "chance")}
    return replace(whole, questions=tuple(q for q in whole.questions if q.series == "seen"), **arrays)


def test_general_loss_is_guarded_without_held_out_probes(guarded):
    guard, run, done, records, said = guarded(action="stop_training", max_loss_rise=0.1, patience=2)
    for number, loss in enumerate((3.0, 3.05, 3.2, 3.3)):
        guard.kis_metrics([Loss(step=number * 10, tokens=0, split="general", loss=loss)])
        guard.kis_outcomes(run, number * 10, only_seen(100))
    assert [record.verdict for record in records] == ["steady", "steady", "loss"]
    assert records[-1].best_step is None
    assert done == [("stop", "general loss (general) is 3.300, 0.300 nats above its best")]


@pytest.mark.parametrize("max_loss_rise", [None, 5.0])
def test_a_diverged_model_is_acted_on_at_once(guarded, max_loss_rise):
    guard, run, done, records, said = guarded(action="stop_training", max_loss_rise=max_loss_rise)
    guard.kis_outcomes(run, 0, outcomes(100, 100))
    guard.kis_outcomes(run, 10, outcomes(300, 300))
    broken = outcomes(0, 0)
    finite = np.ones(len(broken.correct), dtype=bool)
    finite[-1] = False  # a single question is enough
    guard.kis_outcomes(run, 20, replace(broken, finite=finite))
    assert [record.verdict for record in records] == ["steady", "diverged"]
    assert records[-1].best_step is records[-1].lost is None
    assert done == [("stop", "the model has diverged: logits are NaN or infinite")]


def test_divergence_found_elsewhere_is_acted_on(guarded):
    guard, run, done, records, said = guarded(action="stop_infusing")
    guard.kis_outcomes(run, 0, outcomes(100, 100))
    run.session.mark_diverged("loss on eval is nan at step 9")
    guard.kis_outcomes(run, 10, outcomes(100, 100))
    assert records[-1].verdict == "diverged"
    assert done == [("throttle", 0.0)]
    assert "loss on eval is nan at step 9" in said[-1]


# --- which loss is the general one ------------------------------------------------------------------------------------


def losses(guard, step, **values):
    guard.kis_metrics([Loss(step=step, tokens=0, split=split, loss=loss) for split, loss in values.items()])


@pytest.fixture
def with_split(tmp_path):
    def make(split=None, text=None, **guard):
        write_facts(tmp_path, people(24))
        run = make_run(
            tmp_path, {"frequency": 5}, config={"retention": {"every": 0.1, "general_split": split, "guard": guard}}
        )
        if text:
            retention = replace(run.config.retention, general_text=text)
            run = replace(run, config=replace(run.config, retention=retention))
        session = FakeSession()
        run = replace(run, session=session, notify=lambda line: None)
        return Guard(run), run, session

    return make


@pytest.mark.parametrize("named", ["general", "eval_general"])
def test_the_named_split_alone_decides(with_split, named):
    guard, run, session = with_split(named, action="stop_training", max_loss_rise=0.1, patience=1)
    losses(guard, 0, eval_domain=6.0, eval_general=3.0)
    guard.kis_outcomes(run, 0, outcomes(100, 100))
    losses(guard, 10, eval_domain=9.0, eval_general=3.05)
    guard.kis_outcomes(run, 10, outcomes(100, 100))
    assert session.done == []
    losses(guard, 20, eval_domain=6.0, eval_general=3.2)
    guard.kis_outcomes(run, 20, outcomes(100, 100))
    assert session.done == [("stop", "general loss (eval_general) is 3.200, 0.200 nats above its best")]


def test_several_losses_without_a_name_are_refused(with_split):
    guard, run, _ = with_split(max_loss_rise=0.1)
    losses(guard, 0, eval_domain=6.0)
    guard.kis_outcomes(run, 0, outcomes(100, 100))
    losses(guard, 10, eval_domain=6.0, eval_general=3.0)
    with pytest.raises(KISError, match=r"retention.general_split: found losses of eval_domain, eval_general, expected"):
        guard.kis_outcomes(run, 10, outcomes(100, 100))


def test_a_name_that_no_loss_has_is_refused(with_split):
    guard, run, _ = with_split("generell", max_loss_rise=0.1)
    losses(guard, 10, eval_domain=6.0, eval_general=3.0)
    with pytest.raises(KISError, match=r"general_split: found generell, and losses of eval_domain, eval_general"):
        guard.kis_outcomes(run, 10, outcomes(100, 100))


def test_several_losses_that_decide_nothing_are_accepted(with_split):
    guard, run, _ = with_split()
    losses(guard, 10, eval_domain=6.0, eval_general=3.0)
    guard.kis_outcomes(run, 10, outcomes(100, 100))


def test_general_text_is_the_general_split(with_split, tmp_path):
    guard, run, session = with_split(text=tmp_path / "x", action="stop_training", max_loss_rise=0.1, patience=1)
    losses(guard, 0, eval=6.0, general=3.0)
    losses(guard, 10, eval=9.0, general=3.0)
    guard.kis_outcomes(run, 10, outcomes(100, 100))
    assert session.done == []


# --- several templates a fact ----------------------------------------------------------------------------------------


def many_templates(right):
    """Results of (facts, templates) answers."""
    facts, templates = right.shape
    keys = np.arange(right.size, dtype=np.uint64)
    return SeriesResults(
        Results(keys, right.ravel()), np.repeat(np.arange(facts), templates), np.full(right.size, 0.25)
    )


def test_one_question_a_fact_gives_the_sign_test():
    rng = np.random.default_rng(3)
    for _ in range(20):
        before, after = rng.random((2, 50)) < 0.5
        change = compare(random_series(before).results, random_series(after))
        changed = change.lost + change.gained
        expected = binomtest(change.lost, changed, 0.5, alternative="greater").pvalue
        assert change.p_value == pytest.approx(expected, rel=1e-9)


def test_p_value_is_that_of_all_sign_flips():
    net = np.array([-3, -1, -2, 1, -1, 2])
    sums = [
        sum(sign * size for sign, size in zip(signs, np.abs(net), strict=True)) for signs in product((-1, 1), repeat=6)
    ]
    expected = np.mean(np.array(sums) <= net.sum())
    assert Change(60, net, 0.0, 0.0, 0.0).p_value == pytest.approx(expected)
    assert Change(60, -net, 0.0, 0.0, 0.0).p_value > 0.5
    assert Change(60, np.zeros(6, dtype=np.int64), 0.0, 0.0, 0.0).p_value == 1.0


@pytest.mark.parametrize("dependence", [0.5, 1.0])
def test_alarms_by_chance_stay_below_alpha_with_ten_templates(dependence):
    """Facts flip with all or half of their ten questions; a test on questions as units alarms far too often."""
    rng, looks, runs = np.random.default_rng(5), 8, 150
    level = pairwise_level(0.05, looks)
    alarms = naive = 0
    for _ in range(runs):
        right = np.repeat(rng.random((60, 1)) < 0.5, 10, axis=1)
        kept, alarm, naive_alarm = [], False, False
        for _ in range(looks):
            flips = rng.random((60, 1)) < 0.2
            moved = np.where(rng.random((60, 10)) < dependence, rng.random((60, 1)) < 0.5, right)
            right = np.where(flips, moved, right)
            now = many_templates(right)
            changes = [compare(then.results, now) for then in kept]
            alarm |= any(change.p_value <= level for change in changes)
            for then in kept:
                was, is_now = then.results.right, now.results.right
                lost, gained = int((was & ~is_now).sum()), int((~was & is_now).sum())
                naive_alarm |= bool(lost + gained) and bool(
                    binomtest(lost, lost + gained, 0.5, alternative="greater").pvalue <= level
                )
            kept.append(now)
        alarms, naive = alarms + alarm, naive + naive_alarm
    assert alarms / runs <= 0.05
    assert naive / runs > 0.3


def test_a_real_fall_is_detected_with_ten_templates():
    rng, level, seen = np.random.default_rng(6), pairwise_level(0.05, 11), 0
    for _ in range(50):
        known = rng.random((184, 1)) < 0.6
        before = np.where(known, rng.random((184, 10)) < 0.9, rng.random((184, 10)) < 0.25)
        known &= rng.random((184, 1)) > 0.3  # three tenths of the known facts are lost
        after = np.where(known, rng.random((184, 10)) < 0.9, rng.random((184, 10)) < 0.25)
        seen += compare(many_templates(before).results, many_templates(after)).p_value <= level
    assert seen >= 45
