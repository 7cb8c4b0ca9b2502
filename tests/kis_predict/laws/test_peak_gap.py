"""The peak lies below the collapse, at every size and at the target."""

import numpy as np
import pytest

from kis_predict.curves.size_estimates import estimate_sizes
from kis_predict.laws.built_in import built_in_laws
from kis_predict.laws.peak_gap import gap_draws
from kis_predict.pipeline import PredictionRequest, predict
from kis_predict.sweep import build_sweep

LAWS = {law.name: law for law in built_in_laws()}


def test_the_gap_is_positive_and_that_of_the_sizes(sweep_runs):
    sizes = estimate_sizes(build_sweep(sweep_runs()).groups, 60, 0, 0.9)
    draws = gap_draws(sizes, 7e9, 4000, 0)
    assert draws.min() > 0
    assert np.median(draws) == pytest.approx(np.median([s.log_collapse - s.log_peak for s in sizes]), rel=0.25)


def test_peaks_lie_below_late_collapses_too(sweep_runs):
    runs = sweep_runs(sizes=(1e7, 2e7, 4e7, 8e7), exponent=-0.4, level=400)
    answer = predict(runs, PredictionRequest(params=4 * 10**8, bootstraps=60), LAWS)
    assert all(size.log_peak < size.log_collapse for size in answer.sizes)
    assert answer.peak.frequency < answer.collapse.frequency
    assert answer.peak.high < answer.collapse.high


def test_retention_is_given_at_half_and_double_the_amount(sweep_runs):
    answer = predict(sweep_runs(), PredictionRequest(params=10**9, bootstraps=60), LAWS)
    at, half, double = answer.retained
    assert half.frequency == pytest.approx(at.frequency / 2)
    assert double.frequency == pytest.approx(2 * at.frequency)
    for kept in answer.retained:
        assert 0.25 <= kept.low <= kept.retention <= kept.high <= 1
    assert at.of_peak > 0.8
    assert double.of_peak < at.of_peak
