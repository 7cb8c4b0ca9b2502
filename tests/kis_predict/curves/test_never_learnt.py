"""Sizes that never learnt are named and enter nothing."""

from dataclasses import replace

import numpy as np
import pytest

from kis_predict.curves.size_estimates import estimate_sizes
from kis_predict.laws.built_in import built_in_laws
from kis_predict.pipeline import PredictionRequest, predict
from kis_predict.sweep import build_sweep

LAWS = {law.name: law for law in built_in_laws()}
SIZES = (1e7, 2e7, 4e7, 8e7, 16e7)


def at_chance(runs, params, seed=0):
    """Let the runs of one size measure nothing but chance."""
    rng = np.random.default_rng(seed)
    return [replace(run, retention=rng.binomial(run.n, 0.25) / run.n) if run.params == params else run for run in runs]


def test_a_size_at_chance_says_nothing(sweep_runs):
    runs = sweep_runs(sizes=SIZES)
    blank = at_chance(runs, 10**7)
    without = predict([r for r in runs if r.params != 10**7], PredictionRequest(params=10**9, bootstraps=60), LAWS)
    answer = predict(blank, PredictionRequest(params=10**9, bootstraps=60), LAWS)
    assert [size.learnt for size in answer.sizes] == [False, True, True, True, True]
    assert any("N=10M" in line and "never learnt" in line for line in answer.warnings)
    assert answer.collapse == without.collapse
    assert answer.recommendation == without.recommendation


def test_a_size_still_rising_at_its_last_frequency_says_nothing(sweep_runs):
    groups = build_sweep(sweep_runs(sizes=SIZES, last={0: -3.2})).groups
    size = estimate_sizes(groups, 60, 0, 0.9)[0]
    assert not size.learnt
    assert "still rises" in size.warnings[0]


def test_a_size_past_its_rise_still_counts_as_a_bound(sweep_runs):
    size = estimate_sizes(build_sweep(sweep_runs(sizes=SIZES, last={0: -0.8})).groups, 60, 0, 0.9)[0]
    assert size.learnt
    assert size.censored == "right"


def test_a_sweep_that_never_learnt_is_refused(sweep_runs):
    runs = sweep_runs(sizes=SIZES)
    for params in SIZES:
        runs = at_chance(runs, int(params))
    answer = predict(runs, PredictionRequest(params=10**9, bootstraps=60), LAWS)
    assert answer.status == "insufficient"
    assert answer.missing


@pytest.mark.parametrize("trough", [(0.45, 0.40, 0.62, 0.66), (0.45, 0.30, 0.35, 0.62, 0.66)])
def test_a_second_rise_is_left_out_and_not_taken_for_broken(sweep_runs, trough):
    levels = (0.25, 0.30, 0.60, 0.85, 0.84, *trough)
    runs = []
    for params in (1e7, 3e7, 9e7):
        part = sweep_runs(sizes=(params,), points=len(levels), probes=None)
        runs += [replace(run, retention=level, n=1000) for run, level in zip(part, levels, strict=True)]
    for size in estimate_sizes(build_sweep(runs).groups, 60, 0, 0.9):
        assert any("rises again" in line for line in size.warnings)
        assert not any("broken" in line for line in size.warnings)
        assert size.peak_retention < 0.9
