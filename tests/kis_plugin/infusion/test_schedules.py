"""The shapes that schedules give: whole numbers, the same everywhere, close to the formula."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.cli.inspect_command import sparkline
from kis_plugin.config.choice import Choice
from kis_plugin.config.options import chosen
from kis_plugin.config.schema import InfusionConfig
from kis_plugin.errors import KISError
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.protocols import Schedule
from kis_plugin.infusion.schedules import GREATEST, Burst, Ramp, Spaced, Uniform
from kis_plugin.registry import registered
from tests.world.texts import make_texts, shown

densities = st.floats(0, 1e9, allow_subnormal=False) | st.integers(0, 10**9)
anytime = settings(deadline=None)
shapes = st.one_of(
    st.just(Uniform()),
    st.builds(Ramp, st.floats(1e-6, 1e9), densities),
    st.builds(Burst, st.integers(1, 64), st.floats(1e-6, 1)),
    st.builds(Spaced, st.floats(1.001, 1e6)),
)


def bar(weights) -> str:
    """A shape as it looks: one digit a part, 9 the densest."""
    return "".join(str(round(9 * weight / max(weights))) for weight in weights)


@pytest.mark.parametrize(
    ("schedule", "parts", "looks"),
    [
        (Uniform(), 6, "999999"),
        (Ramp(), 10, "0123456789"),
        (Ramp(1, 0), 10, "9876543210"),
        (Ramp(1, 1), 4, "9999"),
        (Ramp(1, 2), 8, "56677889"),
        (Burst(), 16, "9000900090009000"),
        (Burst(2, 0.5), 8, "99009900"),
        (Burst(1, 0.1), 10, "9000000000"),
        (Spaced(), 16, "9654332222221111"),
    ],
)
def test_what_they_look_like(schedule, parts, looks):
    assert bar(schedule.weights(parts)) == looks


def test_the_documentation_shows_them_as_they_are():
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "schedules.md").read_text(encoding="utf-8")
    shown_there = dict(re.findall(r"^(\w+) +([ ▁▂▃▄▅▆▇█]+)$", page, re.M))
    built_in = (Uniform(), Ramp(), Burst(), Spaced())
    assert shown_there == {schedule.name: sparkline(schedule.weights(64)).rstrip() for schedule in built_in}


def test_every_built_in_shape_is_found_by_its_name():
    assert [*registered("schedules")][:4] == ["uniform", "ramp", "burst", "spaced"]
    assert all(isinstance(schedule, Schedule) for schedule in registered("schedules").values())


@anytime
@given(shapes, st.integers(1, 256))
def test_weights_are_whole_not_negative_and_not_all_zero(schedule, parts):
    weights = schedule.weights(parts)
    assert len(weights) == parts
    assert all(type(weight) is int and 0 <= weight <= GREATEST for weight in weights)
    assert any(weights)
    assert list(schedule.weights(parts)) == list(weights)


def test_a_ramp_is_exact():
    assert Ramp().weights(4) == [1, 3, 5, 7]
    assert Ramp(0.1, 0.3).weights(4) == [5, 7, 9, 11]  # a tenth is a tenth, not its nearest float


@anytime
@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(2, 256))
def test_a_ramp_is_a_straight_line(start, end, parts):
    weights = Ramp(start, end).weights(parts)
    steps = {after - before for before, after in pairwise(weights)}
    assert len(steps) == 1
    assert Fraction(weights[0] + weights[-1], 2) * parts == sum(weights)


@anytime
@given(st.integers(1, 64), st.integers(1, 20), st.integers(1, 256))
def test_bursts_weigh_as_much_as_they_are_long(bursts, part, parts):
    weights = Burst(bursts, part / 20).weights(parts)
    length = Fraction(part, 20)  # infused fraction of the window
    infused = [min(Fraction(edge, parts) * bursts % 1, length) for edge in range(parts + 1)]
    whole = [math.floor(Fraction(edge, parts) * bursts) * length for edge in range(parts + 1)]
    before = [(a + b) / length / bursts for a, b in zip(infused, whole, strict=True)]
    total = sum(weights)
    assert [Fraction(sum(weights[:edge]), total) for edge in range(parts + 1)] == before


@anytime
@given(st.floats(1.5, 1000), st.sampled_from([16, 64, 256]))
def test_spaced_follows_its_formula(stretch, parts):
    weights = Spaced(stretch).weights(parts)
    t0 = 1 / (stretch - 1)
    for place in (1, parts // 4, parts // 2, parts):
        expected = math.log((place / parts + t0) / t0) / math.log(stretch)
        assert sum(weights[:place]) / sum(weights) == pytest.approx(expected, rel=1e-6)


def test_gaps_of_spaced_rounds_grow_by_one_factor():
    rounds, parts, stretch = 8, 256, 10
    weights = Spaced(stretch).weights(parts)
    total = sum(weights)
    begins, infused_facts, part = [], 0, 0
    for turn in range(rounds + 1):  # where round k begins: k/F of all slots lie before it
        while part < parts and infused_facts + weights[part] <= turn * total / rounds:
            infused_facts += weights[part]
            part += 1
        begins.append((part + (turn * total / rounds - infused_facts) / (weights[part] if part < parts else 1)) / parts)
    gaps = [after - before for before, after in pairwise(begins)]
    factors = [after / before for before, after in pairwise(gaps)]
    assert factors == pytest.approx([stretch ** (1 / rounds)] * (rounds - 1), rel=1e-3)


def test_spaced_is_the_same_on_every_machine():
    """Numbers of record: a resume with another release must find every fact where it was."""
    weights = Spaced().weights(256)
    assert (weights[0], weights[1], weights[128], weights[255], sum(weights)) == (
        4294967296, 4151508979, 792022277, 437772975, 286218409251,
    )  # fmt: skip
    assert Spaced().in_order


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice("ramp", {"start": -1}), "infusion.schedule.start: found -1, expected densities from 0 to 1e9"),
        (Choice("ramp", {"end": 0}), "infusion.schedule.end: found 0, expected a density above 0 at the start or"),
        (Choice("ramp", {"end": float("nan")}), "infusion.schedule.end: found nan, expected densities"),
        (Choice("ramp", {"start": "low"}), "infusion.schedule.start: found 'low', expected a number"),
        (Choice("burst", {"bursts": 0}), "infusion.schedule.bursts: found 0, expected a whole number of bursts from"),
        (Choice("burst", {"bursts": 2.5}), "infusion.schedule.bursts: found 2.5, expected a whole number"),
        (Choice("burst", {"part": 0}), "infusion.schedule.part: found 0, expected a part above 0, at most 1"),
        (Choice("burst", {"part": True}), "infusion.schedule.part: found true, expected a number"),
        (Choice("spaced", {"stretch": 1}), "infusion.schedule.stretch: found 1, expected a stretch above 1"),
        (Choice("uniform", {"start": 1}), "infusion.schedule.start: found an option, expected none: uniform takes no"),
        (Choice("burst", {"burst": 3}), "infusion.schedule.burst: found an unknown option, expected one of bursts, pa"),
    ],
)
def test_options_that_make_no_shape_are_refused(choice, said):
    with pytest.raises(KISError) as caught:
        chosen("schedules", choice, "infusion.schedule")
    assert str(caught.value).startswith(said)


def test_options_change_the_shape():
    assert chosen("schedules", Choice("burst", {"bursts": 2, "part": 0.5}), "x") == Burst(2, 0.5)
    assert chosen("schedules", Choice("burst"), "x") == Burst()


# --- what the plan makes of them ---------------------------------------------------------------------------------


def plan_of(schedule: Schedule, lengths: list[int], frequency: float, rows: int, seed: int = 0) -> InfusionPlan:
    return InfusionPlan(make_texts(lengths), InfusionConfig(frequency=frequency), schedule, rows, 16, seed)


def densest(schedule: Schedule) -> float:
    """How many times its mean a schedule's greatest density is."""
    weights = schedule.weights(256)
    return max(weights) * 256 / sum(weights)


@anytime
@given(
    schedule=st.one_of(
        st.builds(Ramp, st.integers(0, 9), st.integers(1, 9)),
        st.builds(Burst, st.integers(1, 8), st.floats(0.1, 1)),
        st.builds(Spaced, st.floats(1.1, 200)),
    ),
    lengths=st.lists(st.integers(2, 16), min_size=1, max_size=20),
    frequency=st.floats(0, 6),
    seed=st.integers(0, 2**40),
)
def test_every_schedule_shows_every_text_exactly_as_often(schedule, lengths, frequency, seed):
    rows = int((frequency + 1) * len(lengths) * densest(schedule) * 1.5) + 512
    plan = plan_of(schedule, lengths, frequency, rows, seed)
    counts = shown(plan)[0]
    assert counts.sum() == int(frequency) * len(lengths) + round((frequency - int(frequency)) * len(lengths))
    assert set(counts.tolist()) <= {math.floor(frequency), math.ceil(frequency)}


@pytest.mark.parametrize(
    ("schedule", "quarters"),
    [
        (Uniform(), [0.25, 0.25, 0.25, 0.25]),
        (Ramp(), [1 / 16, 3 / 16, 5 / 16, 7 / 16]),
        (Ramp(3, 1), [5.5 / 16, 4.5 / 16, 3.5 / 16, 2.5 / 16]),
        (Burst(1, 0.5), [0.5, 0.5, 0, 0]),
        (Burst(2, 0.5), [0.5, 0, 0.5, 0]),
        (Spaced(), [math.log10(3.25), math.log10(5.5 / 3.25), math.log10(7.75 / 5.5), math.log10(10 / 7.75)]),
    ],
    ids=repr,
)
def test_rows_are_infused_in_the_shape_of_the_schedule(schedule, quarters):
    plan = plan_of(schedule, [16] * 100, 10, 20_000)
    infused = np.array([row for row in range(plan.rows) if plan.infused(row)])
    found = np.histogram(infused, bins=4, range=(0, plan.rows))[0] / plan.infused_rows
    assert found == pytest.approx(quarters, abs=0.01)


def test_gaps_between_exposures_expand_under_spaced():
    facts, rounds, stretch = 25, 8, 10
    plan = plan_of(Spaced(stretch), [16] * facts, rounds, 50_000)
    infused_facts: dict[int, list[int]] = {item: [] for item in range(facts)}
    for row in range(plan.rows):
        texts = plan.texts_in(row)
        for text in [] if texts is None else texts.tolist():
            infused_facts[text].append(row)
    growth = []
    for rows in infused_facts.values():
        gaps = np.diff(rows)
        assert (np.diff(gaps) > 0).all(), gaps
        growth += (gaps[1:] / gaps[:-1]).tolist()
    assert np.mean(growth) == pytest.approx(stretch ** (1 / rounds), rel=0.02)


def test_without_an_order_gaps_do_not_expand_at_each_step():
    """What in_order is for: the density of ``spaced`` alone leaves the gaps of a fact to chance."""

    class Unordered(Spaced):
        in_order = False

    plan = plan_of(Unordered(), [16] * 25, 8, 50_000)
    infused_facts = [row for row in range(plan.rows) if plan.infused(row) and 3 in plan.texts_in(row)]
    assert len(infused_facts) == 8
    assert (np.diff(np.diff(infused_facts)) < 0).any()


@pytest.mark.parametrize("schedule", [Ramp(), Burst(), Spaced()], ids=repr)
def test_what_a_schedule_cannot_hold_is_refused(schedule):
    rows = 256 * 50
    with pytest.raises(KISError) as caught:
        plan_of(schedule, [16] * 100, 120, rows)
    (problem,) = caught.value.problems
    assert f"more than there are where schedule {schedule.name!r} is densest" in problem.found
    fits = float(problem.hint.split("about ")[1].split()[0])
    assert fits == pytest.approx(128 / densest(schedule), rel=0.03)
    assert shown(plan_of(schedule, [16] * 100, math.floor(fits), rows))[0].tolist() == [math.floor(fits)] * 100
