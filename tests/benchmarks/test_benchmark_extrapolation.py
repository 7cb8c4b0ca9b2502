"""The benchmark of extrapolation: its generator's truth, and a quick run that holds the intervals to it."""

import numpy as np
import pytest

from benchmarks.extrapolation import cases, main, measure
from benchmarks.known_truth import CURVES, LAWS, make_sweep, normalised


@pytest.mark.parametrize("name", CURVES)
def test_curves_lose_a_twentieth_of_their_peak_at_zero(name):
    height = normalised(CURVES[name](np.random.default_rng(0)))
    assert height(np.array(0.0)) == pytest.approx(0.95, abs=0.01)
    assert height(np.linspace(-8, 4, 4000)).max() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("law", LAWS)
def test_sweeps_are_seeded_and_their_truth_is_finite(law):
    one, again, other = make_sweep("hill", law, 1), make_sweep("hill", law, 1), make_sweep("hill", law, 2)
    assert one.runs == again.runs
    assert one.runs != other.runs
    assert np.isfinite(list(one.log_at_target.values())).all()


def test_a_saturating_sweep_gets_a_safe_recommendation():
    case = next(case for case in cases() if case[:3] == ("bent", "gauss", "saturating"))
    answered = measure(case, bootstraps=60).answers[5]
    assert answered.middle is not None
    assert answered.low <= answered.truth <= answered.high
    assert answered.recommended <= answered.truth


@pytest.mark.slow
def test_the_quick_run_prints_both_tables(capsys):
    assert main(["--quick", "--bootstraps", "60"]) == 0
    printed = capsys.readouterr().out
    assert "straight" in printed
    assert "weibull" in printed
