from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from kis_predict.curves import intervals, rise_fall
from kis_predict.curves.noise import dips, overdispersion
from kis_predict.curves.pooling import Curve, pool
from kis_predict.curves.size_estimates import estimate_sizes
from kis_predict.sweep import build_sweep

TRUE = np.log(100) + 0.5 * np.log([1, 3, 9, 27])


def estimates(runs, bootstraps=200):
    return estimate_sizes(build_sweep(runs).groups, bootstraps=bootstraps, seed=0, confidence=0.9)


def test_collapse_points_of_nearly_exact_data(sweep_runs):
    found = estimates(sweep_runs(probes=200_000))
    assert [size.censored for size in found] == [None] * 4
    assert np.allclose([size.log_collapse for size in found], TRUE, atol=0.1)


def test_the_same_input_gives_the_same_answer(sweep_runs):
    assert repr(estimates(sweep_runs())) == repr(estimates(sweep_runs()))


def test_a_size_that_did_not_fall_is_right_censored(sweep_runs):
    runs = sweep_runs(last={3: -1.5})
    *others, largest = estimates(runs)
    assert largest.censored == "right"
    assert np.exp(largest.log_collapse) == pytest.approx(max(run.frequency for run in runs if run.params == 27 * 10**7))
    assert largest.log_collapse_interval[1] == np.inf
    assert largest.log_peak <= largest.log_collapse
    assert [size.censored for size in others] == [None] * 3


@pytest.mark.parametrize(("retention", "fell"), [(0.45, True), (0.63, True), (0.69, False)])
def test_a_fall_at_the_last_frequency_alone_is_a_bound(sweep_runs, retention, fell):
    runs = sweep_runs(last={3: -1.6}, probes=500)
    last = max((run for run in runs if run.params == 27 * 10**7), key=lambda run: run.frequency)
    runs[runs.index(last)] = replace(last, retention=retention)
    largest = estimates(runs)[-1]
    assert largest.censored == "right"
    if fell:
        assert largest.log_collapse < np.log(last.frequency)
        assert "a collapse needs two" in largest.warnings[0]
    else:
        assert np.exp(largest.log_collapse) == pytest.approx(last.frequency)


def test_a_size_that_rises_to_its_end_is_a_bound_without_doubt(sweep_runs):
    found = [estimates(sweep_runs(last={3: -1.5}, probes=300, seed=seed))[-1] for seed in range(20)]
    assert sum(size.odds is None and size.censored == "right" for size in found) >= 17
    assert all(size.odds is None or size.odds < 1 for size in found)


def test_one_lucky_run_makes_no_collapse(sweep_runs):
    runs = sweep_runs(last={3: -1.5}, probes=228)
    lucky = [run for run in runs if run.params == 27 * 10**7][-4]
    runs[runs.index(lucky)] = replace(lucky, retention=(lucky.retention or 0) + 0.2)
    largest = estimates(runs)[-1]
    assert largest.censored == "right"


@pytest.mark.parametrize(
    ("last", "censored", "odds"),
    [(0.60, None, None), (0.66, None, (1, 100)), (0.72, "right", (0.01, 1)), (0.80, "right", None)],
    ids=["plain", "likely", "hardly", "none"],
)
def test_a_fall_that_the_runs_leave_open_is_read_both_ways(sweep_runs, last, censored, odds):
    runs = sweep_runs(probes=228, last={0: -1.5, 1: -1.5, 2: -1.5})
    own = next(run for run in runs if run.params == 27 * 10**7)
    curve = zip((10, 20, 40, 80, 160, 320, 640), (0.3, 0.42, 0.6, 0.76, 0.8, (0.8 + last) / 2, last), strict=True)
    mine = [replace(own, frequency=float(f), retention=retention, n=300) for f, retention in curve]
    found = estimates([*[run for run in runs if run.params != own.params], *mine])[-1]
    assert found.censored == censored
    if odds is None:
        assert found.odds is None
        assert found.other is None
        return
    assert odds[0] < found.odds < odds[1]
    assert {found.censored, found.other.censored} == {None, "right"}
    collapsed, bound = (found.other, found) if censored else (found, found.other)
    assert 160 < np.exp(collapsed.log_collapse) < 640
    assert np.exp(bound.log_collapse) == pytest.approx(640)
    y, sd = collapsed.log_collapse, collapsed.log_collapse_sd
    inside = norm.cdf((np.log(640) - y) / sd) - norm.cdf((np.log(10) - y) / sd)
    likelier = np.log(found.odds * np.log(64) / inside)  # of the collapse, as a density in log F_c
    assert found.log_weight == pytest.approx(likelier if censored else -likelier)
    assert "the law weighs both readings" in found.warnings[-1]


def test_a_top_that_others_confirm_is_no_lucky_run(sweep_runs):
    runs = sweep_runs(probes=228, last={0: -1.5, 1: -1.5, 2: -1.5})  # the others end before they collapse
    own = next(run for run in runs if run.params == 27 * 10**7)
    curve = zip((10, 20, 40, 80, 160, 320, 640, 1280), (0.3, 0.4, 0.55, 0.7, 0.84, 0.7, 0.69, 0.68), strict=True)
    mine = [replace(own, frequency=float(f), retention=retention, n=300) for f, retention in curve]
    others = [run for run in runs if run.params != own.params]
    once = estimates([*others, *mine])[-1]
    assert once.censored == "right"
    assert once.odds < 0.5
    fallen = [run for run in sweep_runs(probes=228) if run.params != own.params]
    assert estimates([*fallen, *mine])[-1].censored is None
    again = replace(mine[4], seed=1, retention=0.82)
    assert estimates([*others, *mine, again])[-1].censored is None
    broken = replace(own, frequency=226.0, retention=0.26, n=300)
    found = estimates([*others, *mine, again, broken])[-1]
    assert "taken for broken" in found.warnings[0]
    assert found.censored is None


def test_a_curve_that_falls_from_the_start_is_left_censored(sweep_runs):
    runs = [run for run in sweep_runs(points=23) if run.params < 10**8 or np.log(run.frequency) > TRUE[3] + 0.3]
    largest = estimates([run for run in runs if run.params > 0])[-1]
    assert largest.censored == "left"
    assert largest.log_collapse_interval[0] == -np.inf


def test_noise_between_seeds_widens_the_intervals(sweep_runs):
    rng = np.random.default_rng(1)
    calm = sweep_runs(probes=2000, seeds=2)
    noisy = [replace(run, retention=float(np.clip(run.retention + 0.04 * rng.standard_normal(), 0, 1))) for run in calm]
    wide, narrow = (np.mean([size.log_collapse_sd for size in estimates(runs)]) for runs in (noisy, calm))
    assert wide > 1.5 * narrow


def test_overdispersion_is_that_of_the_seeds(sweep_runs):
    rng = np.random.default_rng(2)
    noisy = [
        replace(run, retention=float(np.clip(run.retention + 0.05 * rng.standard_normal(), 0, 1)))
        for run in sweep_runs(probes=10_000, seeds=4)
    ]
    groups = build_sweep(noisy).groups
    curves = [Curve(*group.points()[:3], group.chance) for group in groups]
    pooled = pool(curves, rise_fall.smooth)
    rho = overdispersion(groups, pooled).rho
    at_half = rho * 0.25  # variance that rho adds at p = 0.5
    assert 0.05**2 * 0.7 < at_half < 0.05**2 * 2


def test_a_run_that_falls_out_of_its_row_is_named_and_left_out(sweep_runs):
    sound = sweep_runs()
    broken = [replace(run, retention=0.26) if at in (6, 19) else run for at, run in enumerate(sound)]
    assert [dips(group) for group in build_sweep(broken).groups] == [[6], [8], [], []]
    calm, mended = estimates(sound), estimates(broken)
    assert np.allclose([a.log_collapse for a in calm], [b.log_collapse for b in mended], atol=0.2)
    assert ["broken" in " ".join(size.warnings) for size in mended] == [True, True, False, False]


def test_neither_a_fall_nor_noise_is_taken_for_broken(sweep_runs):
    found = [dips(group) for seed in range(50) for group in build_sweep(sweep_runs(probes=300, seed=seed)).groups]
    assert not any(found)


def test_without_probe_counts_noise_is_left_to_the_scatter(sweep_runs):
    known, unknown = sweep_runs(probes=300), [replace(run, n=None) for run in sweep_runs(probes=300)]
    ratio = [a.log_collapse_sd / b.log_collapse_sd for a, b in zip(estimates(known), estimates(unknown), strict=True)]
    assert 0.5 < np.mean(ratio) < 2


def test_intervals_are_ordered_and_hold_their_value(sweep_runs):
    for size in estimates(sweep_runs(probes=300)):
        low, high = size.log_collapse_interval
        assert low <= size.log_collapse <= high
        assert size.log_peak <= size.log_collapse


def test_what_curves_get_wrong_widens_the_intervals_and_not_what_laws_take(sweep_runs, monkeypatch):
    runs = sweep_runs(probes=2000, seeds=2)
    wide = estimates(runs)
    monkeypatch.setattr(intervals, "MISFIT", 0.0)
    exact = estimates(runs)
    # 11 frequencies over 6.1 nats; a 90 % interval reaches 1.645 standard deviations.
    error = 1.645 * 0.075 * 0.61
    for one, other in zip(wide, exact, strict=True):
        for got, of in zip(one.log_collapse_interval, other.log_collapse_interval, strict=True):
            assert abs(got - one.log_collapse) == pytest.approx(np.hypot(of - other.log_collapse, error), rel=1e-3)
        assert one.log_collapse_sd == other.log_collapse_sd
        assert one.log_collapse == other.log_collapse


@pytest.mark.slow
def test_intervals_cover_the_truth_at_about_the_stated_rate(sweep_runs):
    held = []
    for seed in range(40):
        for size, true in zip(estimates(sweep_runs(probes=400, seed=seed)), TRUE, strict=True):
            low, high = size.log_collapse_interval
            held.append(low <= true <= high)
    assert 0.8 <= np.mean(held) <= 1.0


@pytest.mark.slow
def test_a_rise_alone_is_rarely_taken_for_a_collapse(sweep_runs):
    found = [size.censored for seed in range(25) for size in estimates(sweep_runs(
        probes=400, seed=seed, last={0: -1.5, 1: -1.5, 2: -1.5, 3: -1.5}), bootstraps=50)]  # fmt: skip
    assert np.mean([censored != "right" for censored in found]) <= 0.08
