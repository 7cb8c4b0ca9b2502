"""The records of an evaluation: each series, and its parts by relation and domain."""

from dataclasses import replace

import numpy as np
import pytest

from kis_plugin.retention.intervals import effective_questions
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.results import MIN_QUESTIONS, Outcomes, above_control, series_records
from kis_plugin.run.host_metrics import host_metrics
from kis_plugin.run.log import GENERAL, Loss

ABOUT = {"P19": ("Person",), "P20": ("Person",), "P36": ("Place", "Politics"), "P50": ()}


def outcomes(*probed):
    """Make outcomes of (series, relation, correct) triples."""
    questions = [
        Question(
            n,
            "",
            ("a", "b"),
            0,
            series,
            relation,
            domains=ABOUT.get(relation, ()),
            frequency_baseline=float(n % 4 == 0),
        )
        for n, (series, relation, _) in enumerate(probed)
    ]
    count = len(questions)
    correct = np.array([right for *_, right in probed], dtype=bool)
    return Outcomes(questions, correct, np.ones(count), np.arange(count, dtype=float), np.full(count, 0.5), 2.0)


def records(found, by=("relation", "domain")):
    return {record.probe: record for record in series_records(3, 300, found, by)}


def test_records_have_chance_baseline_ceiling_and_bits():
    (record,) = series_records(3, 300, outcomes(*[("held_out", "P19", True)] * 8))
    assert (record.step, record.tokens, record.n, record.accuracy) == (3, 300, 8, 1.0)
    assert [record.extra[key] for key in ("chance", "frequency_baseline", "ceiling")] == [0.5, 0.25, 1.0]
    assert record.extra["low"] < record.extra["high"] == 1
    assert record.bits_per_byte == pytest.approx(3.5)


def test_fully_dependent_questions_count_as_one_a_fact():
    alike = np.repeat(np.arange(30) % 3 == 0, 5)  # 30 facts, five questions each, all answered alike
    assert effective_questions(alike, np.repeat(np.arange(30), 5)) == pytest.approx(30, rel=0.05)


def test_independent_questions_count_nearly_in_full():
    rng = np.random.default_rng(0)
    worth = effective_questions(rng.random(2000) < 0.5, np.repeat(np.arange(400), 5))
    assert 1700 < worth <= 2000


def test_effective_number_agrees_with_a_cluster_bootstrap():
    rng = np.random.default_rng(1)
    known = rng.beta(1, 1, 200)  # how well each fact is known
    answers = rng.random((200, 6)) < known[:, None]  # (facts, questions)
    means = [answers[rng.integers(0, 200, 200)].mean() for _ in range(4000)]
    p = answers.mean()
    assert effective_questions(answers.ravel(), np.repeat(np.arange(200), 6)) == pytest.approx(
        p * (1 - p) / np.var(means), rel=0.08
    )


@pytest.mark.parametrize(("right", "worth"), [([1, 1, 1, 1], 2), ([0, 0, 0, 0], 2), ([1, 0, 1, 0], 4)])
def test_effective_number_is_bounded_without_variance(right, worth):
    assert effective_questions(np.array(right, dtype=bool), np.array([0, 0, 1, 1])) == worth


def test_intervals_use_the_effective_number_of_questions():
    found = outcomes(*[("held_out", "P19", n < 20) for n in range(40)])
    (once,) = series_records(0, 0, found)
    questions = [replace(question, fact=question.fact // 4) for question in found.questions]
    (often,) = series_records(0, 0, replace(found, questions=questions))
    assert (once.independent, once.worth) == (None, 40)
    assert often.independent == often.worth == 10
    assert often.extra["low"] < once.extra["low"] < 0.5 < once.extra["high"] < often.extra["high"]
    assert (often.n, often.accuracy) == (40, 0.5)


def test_an_unknown_baseline_or_bits_are_left_out():
    found = outcomes(*[("recall", "P19", True)] * 8)
    found.bits_per_byte[:] = np.nan
    questions = [Question(0, "", ("a",), 0, "recall")] * 8
    (record,) = series_records(0, 0, Outcomes(questions, found.correct, *[found.bits_per_byte] * 3, 1.0))
    assert "frequency_baseline" not in record.extra
    assert record.bits_per_byte is None


def test_parts_follow_the_series_and_hold_their_own_questions():
    found = records(outcomes(*[("held_out", "P19", True)] * 6, *[("held_out", "P36", False)] * 5))
    assert list(found) == [
        "held_out", "held_out/relation/P19", "held_out/relation/P36",
        "held_out/domain/Person", "held_out/domain/Place", "held_out/domain/Politics",
    ]  # fmt: skip
    assert (found["held_out"].n, found["held_out"].correct) == (11, 6)
    assert (found["held_out/relation/P19"].n, found["held_out/relation/P19"].accuracy) == (6, 1.0)
    assert (found["held_out/domain/Politics"].n, found["held_out/domain/Politics"].accuracy) == (5, 0.0)


def test_small_and_whole_parts_are_left_out():
    few = [("held_out", "P36", True)] * (MIN_QUESTIONS - 1)
    assert list(records(outcomes(*[("held_out", "P19", True)] * 6, *few))) == [
        "held_out", "held_out/relation/P19", "held_out/domain/Person"
    ]  # fmt: skip
    assert list(records(outcomes(*[("held_out", "P19", True)] * 6))) == ["held_out"]
    both = outcomes(*[("seen", "P19", True)] * 6, *[("seen", "P20", True)] * 6)  # two relations of one domain
    assert list(records(both)) == ["seen", "seen/relation/P19", "seen/relation/P20"]


def test_series_are_broken_down_as_configured():
    probed = [(series, relation, True) for series in ("held_out", "control") for relation in ("P19", "P36")] * 4
    assert [name for name in records(outcomes(*probed), ["domain"]) if "/" in name] == [
        "held_out/domain/Person", "held_out/domain/Place", "held_out/domain/Politics",
        "control/domain/Person", "control/domain/Place", "control/domain/Politics",
    ]  # fmt: skip
    assert not [name for name in records(outcomes(*probed), ()) if "/" in name]


def test_a_series_is_broken_down_by_template():
    found = outcomes(*[("held_out", "P19", n % 3 > 0) for n in range(24)])
    questions = [replace(question, template=2 + n % 3) for n, question in enumerate(found.questions)]
    by = {record.probe: record for record in series_records(0, 0, replace(found, questions=questions), ["template"])}
    assert {name: (record.n, record.accuracy) for name, record in by.items() if "/" in name} == {
        "held_out/template/2": (8, 0.0), "held_out/template/3": (8, 1.0), "held_out/template/4": (8, 1.0),
    }  # fmt: skip


def test_above_control_has_newcombes_interval():
    """Method 10 on 56 of 70 against 48 of 80, the first example of Newcombe 1998: 0.0524 to 0.3339."""
    probed = [("held_out", "P19", n < 56) for n in range(70)] + [("control", "P19", n < 48) for n in range(80)]
    record = above_control(series_records(7, 70, outcomes(*probed), ()))
    assert (record.probe, record.step, record.n, record.extra["control_n"]) == ("above_control", 7, 70, 80)
    assert record.accuracy == pytest.approx(0.2)
    assert (record.extra["low"], record.extra["high"]) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_without_controls_there_is_no_difference():
    assert above_control(series_records(0, 0, outcomes(*[("held_out", "P19", True)] * 8), ())) is None


def test_a_relation_without_a_domain_is_in_no_part():
    found = records(outcomes(*[("held_out", "P19", True)] * 6, *[("held_out", "P50", False)] * 6), ["domain"])
    assert {name: record.n for name, record in found.items()} == {"held_out": 12, "held_out/domain/Person": 6}


def test_host_metrics_of_series_and_parts():
    found = series_records(0, 0, outcomes(*[("held_out", "P19", True)] * 6, *[("held_out", "P36", False)] * 6))
    parts = series_records(0, 0, outcomes(*[("s", "P19", True)] * 6, *[("s", "P36", False)] * 6), ["relation"])[1:]
    loss = Loss(step=0, tokens=0, split=GENERAL, loss=2.5, extra={"bits_per_byte": 1.25})
    every = [*found, *parts, loss, Loss(step=0, tokens=0, split="eval", loss=3.0)]
    assert host_metrics(every) == {
        "retention/held_out": 0.5, "retention/chance": 0.5, "retention/general_loss": 2.5,
    }  # fmt: skip
    assert host_metrics(every, everything=True) == {
        "retention/held_out": 0.5,
        "retention/chance": 0.5,
        "retention/held_out_margin": 1.0,
        "retention/held_out_bits_per_byte": 5.5,
        "retention/s/relation/P19": 1.0,
        "retention/s/relation/P36": 0.0,
        "retention/general_loss": 2.5,
        "retention/general_bits_per_byte": 1.25,
    }
