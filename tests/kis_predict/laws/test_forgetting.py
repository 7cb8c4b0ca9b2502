from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.amounts import round_down, short
from kis_predict.laws.built_in import PowerLaw
from kis_predict.laws.forgetting import isotonic, loss_limits
from kis_predict.pipeline import PredictionRequest, predict
from kis_predict.report.texts import headline
from kis_predict.sweep import build_sweep

LAWS = {"power": PowerLaw()}


def with_loss(runs, level, exponent, noise=0.0, seed=0):
    """Give each run a loss that has risen by 0.05 nats at F = level (N / 1e7)^exponent, and add the uninfused ones."""
    rng = np.random.default_rng(seed)

    def loss(params, frequency):
        return 3.0 + 0.05 * frequency / (level * (params / 1e7) ** exponent) + noise * rng.standard_normal()

    infused = [replace(run, loss=loss(run.params, run.frequency)) for run in runs]
    first = {run.params: run for run in runs}.values()
    base = [
        replace(run, frequency=0.0, loss=loss(run.params, 0.0), source=f"base-{run.params}", share=0.0) for run in first
    ]
    return infused + base


def ask(runs, **question):
    return predict(runs, PredictionRequest(**{"params": 7 * 10**9, "bootstraps": 60, **question}), LAWS)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.integers(0, 99))
def test_monotone_regression_rises_and_keeps_the_weighted_mean(values, seed):
    weight = np.random.default_rng(seed).uniform(0.5, 3, len(values))
    (fitted,) = isotonic(np.array([values]), weight)
    assert (np.diff(fitted) >= -1e-9).all()
    assert weight @ fitted == pytest.approx(weight @ np.array(values), abs=1e-6)


def test_a_rising_sequence_is_left_as_it_is():
    assert np.allclose(isotonic(np.array([[0.0, 1.0, 1.5]]), np.ones(3)), [[0.0, 1.0, 1.5]])
    assert np.allclose(isotonic(np.array([[2.0, 1.0, 3.0]]), np.ones(3)), [[1.5, 1.5, 3.0]])


def test_a_sizes_limit_is_where_its_loss_has_risen(sweep_runs):
    limits = loss_limits(build_sweep(with_loss(sweep_runs(), 60, 0.5)), 0.05, seed=0)
    assert [limit.censored for limit in limits] == [None] * 4
    assert np.allclose([limit.log_limit for limit in limits], np.log(60) + 0.5 * np.log([1, 3, 9, 27]), atol=0.05)


def test_a_loss_rise_outside_the_amounts_is_censored(sweep_runs):
    runs = with_loss(sweep_runs(), 60, 0.5)
    assert {limit.censored for limit in loss_limits(build_sweep(runs), 5.0, seed=0)} == {"right"}
    assert {limit.censored for limit in loss_limits(build_sweep(runs), 1e-6, seed=0)} == {"left"}


def test_noise_of_the_loss_widens_the_limit(sweep_runs):
    calm, noisy = (
        np.mean([limit.sd for limit in loss_limits(build_sweep(with_loss(sweep_runs(), 60, 0.5, noise)), 0.05, 0)])
        for noise in (0.0, 0.03)
    )
    assert noisy > 1.5 * calm


def test_the_smaller_of_both_limits_is_recommended_and_named(sweep_runs):
    tight, loose = ask(with_loss(sweep_runs(), 20, 0.5)), ask(with_loss(sweep_runs(), 200, 0.5))
    assert (tight.binding, loose.binding) == ("forgetting", "collapse")
    assert tight.recommendation.frequency < tight.forgetting.frequency == pytest.approx(20 * 700**0.5, rel=0.15)
    assert tight.forgetting.low < tight.forgetting.frequency < tight.forgetting.high
    assert loose.recommendation.frequency == pytest.approx(ask(sweep_runs()).recommendation.frequency, rel=0.01)


def test_where_general_loss_bears_less_than_the_rise_takes_the_collapse_is_still_predicted(sweep_runs):
    free, tight = ask(sweep_runs()), ask(with_loss(sweep_runs(), 2.0, 0.5))
    assert (tight.status, tight.recommendation, tight.retained) == ("insufficient", None, ())
    assert tight.collapse == free.collapse
    assert tight.law == free.law
    (line,) = tight.missing
    assert "General loss may rise by 0.05 nats" in line
    assert f"--max-loss-rise (collapse alone would allow F={short(round_down(free.recommendation.frequency))})" in line
    assert not any("recommended amount" in each for each in tight.warnings)
    assert headline(tight)[0].startswith("No amount is recommended for N=7B")
    assert headline(tight)[1].startswith("Collapse is predicted at F = ")


def test_uninfused_runs_with_a_loss_are_not_said_to_be_left_out(sweep_runs):
    assert not any("uninfused" in line for line in ask(with_loss(sweep_runs(), 60, 0.5)).warnings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda runs: [replace(run, loss=None) for run in runs], "No run carries general loss"),
        (lambda runs: [run for run in runs if run.frequency], "No uninfused run (F = 0) with general loss at N=10M"),
        (lambda runs: [replace(run, loss=3.0) for run in runs], "No tested amount raises general loss"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_made_up(sweep_runs, change, said):
    answer = ask(change(with_loss(sweep_runs(), 60, 0.5)))
    assert answer.status == "ok"
    assert answer.forgetting.frequency is None
    assert said in answer.forgetting.reason
    assert answer.binding == "collapse"
