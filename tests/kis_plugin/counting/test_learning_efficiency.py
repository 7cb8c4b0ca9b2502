"""The law fitted to answers drawn from it, and against an optimiser that knows nothing of ours."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import differential_evolution

from kis_plugin.counting.learning_efficiency import Efficiency, Undetermined, accuracy_at, learning_efficiency

TRUE = {"L0": 0.15, "x0": 0.6, "alpha": 0.5}


def drawn(seed, n=1000, counts=(0, 0, 1, 2, 3, 5, 8, 15, 30, 60, 120, 500, 2000), **law):
    generator = np.random.default_rng(seed)
    x = generator.choice(counts, size=n) * generator.uniform(0.9, 1.1, size=n)
    return generator.random(n) < accuracy_at(x, **(TRUE | law)), x


def test_the_law_is_the_one_of_the_paper():
    x = np.array([0.0, 1.0, 3.0, 1e12])
    assert accuracy_at(x, 0.1, 0.6, 0.5) == pytest.approx(
        [1 - (0.1 + 0.6 / (1 + value) ** 0.5) for value in x], abs=1e-15
    )


def test_parameters_come_back_from_many_answers():
    fit = learning_efficiency(*drawn(1, n=200_000))
    assert isinstance(fit, Efficiency)
    assert (fit.L0, fit.x0, fit.alpha) == pytest.approx((0.15, 0.6, 0.5), abs=0.02)
    assert fit.asymptote == pytest.approx(0.85, abs=0.02)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("law", [{}, {"L0": 0.0, "x0": 0.9}, {"alpha": 2.0}], ids=["middle", "all learnt", "quick"])
def test_no_other_optimiser_finds_a_likelier_law(seed, law):
    correct, x = drawn(seed, **law)

    def loss(point):
        L0, x0, alpha = point
        if L0 + x0 > 1:
            return 1e9
        p = np.clip(accuracy_at(x, L0, x0, alpha), 1e-9, 1 - 1e-9)
        return -np.log(np.where(correct, p, 1 - p)).sum()

    fit = learning_efficiency(correct, x)
    assert isinstance(fit, Efficiency)
    other = differential_evolution(loss, [(0, 1), (0, 1), (0.01, 10)], seed=seed, tol=1e-10)
    assert loss((fit.L0, fit.x0, fit.alpha)) <= other.fun + 1e-3


def test_intervals_have_their_nominal_coverage():
    inside = dict.fromkeys(TRUE, 0)
    runs = 40
    for seed in range(runs):
        fit = learning_efficiency(*drawn(seed, n=600))
        assert isinstance(fit, Efficiency)
        for name, value in TRUE.items():
            high = fit.high[name]
            inside[name] += fit.low[name] <= value <= (np.inf if high is None else high)
    # 38 of 40 are meant to; fewer than 33 come with a probability of 1 in 300 each.
    assert all(count >= 33 for count in inside.values()), inside
    assert sum(inside.values()) < 3 * runs


def test_interval_ends_are_at_the_likelihood_quantile():
    correct, x = drawn(5)
    fit = learning_efficiency(correct, x, confidence=0.9)
    assert isinstance(fit, Efficiency)

    def profile(alpha):
        def loss(point):
            p = np.clip(accuracy_at(x, point[0] * point[1], point[0] * (1 - point[1]), alpha), 1e-9, 1 - 1e-9)
            return -np.log(np.where(correct, p, 1 - p)).sum()

        return differential_evolution(loss, [(0, 1), (0, 1)], seed=1, tol=1e-10).fun

    best = profile(fit.alpha)
    for end in (fit.low["alpha"], fit.high["alpha"]):
        assert 2 * (profile(end) - best) == pytest.approx(2.7055, abs=0.02)


def test_estimates_at_the_bounds_stay_within_them():
    fit = learning_efficiency(*drawn(2, L0=0.0, x0=1.0, alpha=1.0))
    assert isinstance(fit, Efficiency)
    assert fit.L0 >= 0
    assert fit.L0 + fit.x0 <= 1
    assert fit.low["L0"] == 0
    assert fit.high["x0"] <= 1


def test_a_step_gives_alpha_no_upper_bound():
    x = np.repeat([0.0, 50.0, 60.0], 100)
    fit = learning_efficiency(np.where(x > 0, np.arange(300) % 10 > 0, np.arange(300) % 4 == 0), x)
    assert isinstance(fit, Efficiency)
    assert fit.high["alpha"] is None
    assert pytest.approx(0.1, abs=0.01) == fit.L0


@pytest.mark.parametrize(
    ("correct", "x", "reason"),
    [
        ([True] * 49, range(49), "49 answers, fewer than 50"),
        ([True, False] * 50, [64] * 100, "the facts occur equally often: 1 different counts, fewer than 3"),
        ([True, False] * 50, [0, 9] * 50, "2 different counts"),
        ([True, False] * 50, range(100), "do not improve with how often facts occur"),
        ([False] * 50 + [True] * 50, range(100, 0, -1), "do not improve"),  # what the law cannot say
        ([True] * 100, range(100), "do not improve"),
    ],
)
def test_the_law_is_undetermined_without_information(correct, x, reason):
    fit = learning_efficiency(np.array(correct), np.array(list(x)))
    assert isinstance(fit, Undetermined)
    assert reason in fit.reason
    assert set(json.loads(json.dumps(fit.as_json()))) == {"reason", "n"}


def test_constant_accuracy_rarely_looks_like_learning():
    fitted = [isinstance(learning_efficiency(*drawn(seed, x0=0.0, L0=0.75, n=300)), Efficiency) for seed in range(60)]
    assert sum(fitted) <= 8  # 3 are expected at the level of 0.05, fewer since the law cannot fall


def test_json_holds_every_field():
    shown = json.loads(json.dumps(learning_efficiency(*drawn(3)).as_json(), allow_nan=False))
    assert set(shown) == {"L0", "x0", "alpha", "low", "high", "confidence", "n", "p", "asymptote"}
    assert set(shown["low"]) == set(shown["high"]) == {"L0", "x0", "alpha"}
