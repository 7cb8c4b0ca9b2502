import numpy as np
import pytest

from kis_predict.curves import rise_fall as gate

X = np.linspace(0, 7, 14)
TRUE = np.array([[0.7, 1.3, np.log(0.7), 4.2, np.log(0.4), 1.2]])


@pytest.mark.parametrize("shape", gate.SHAPES.values(), ids=list(gate.SHAPES))
def test_slopes_are_those_of_the_curve(shape):
    _, slopes = gate._curve_and_slopes(TRUE, X, 0.25, shape)
    for at in range(6):
        step = np.zeros((1, 6))
        step[0, at] = 1e-5
        ahead, behind = (gate.curve(TRUE + sign * step, X, 0.25, shape) for sign in (1, -1))
        assert np.allclose(slopes[..., at], (ahead - behind) / 2e-5, atol=1e-6)


@pytest.mark.parametrize("shape", gate.SHAPES.values(), ids=list(gate.SHAPES))
def test_exact_data_give_the_collapse_point_back(shape):
    p = gate.curve(TRUE, X, 0.25, shape)[0]
    prior = gate.weak_prior(X)
    found = gate.fit(X, p, np.full(14, 1e5), 0.25, shape, gate.starts(X, prior.mean), prior).best()
    peak, collapse, height = gate.critical_points(found.parameters, X, 0.25, shape)
    true_peak, true_collapse, true_height = gate.critical_points(TRUE, X, 0.25, shape)
    assert collapse[0] == pytest.approx(true_collapse[0], abs=0.03)
    assert height[0] == pytest.approx(true_height[0], abs=0.003)
    assert peak[0] == pytest.approx(true_peak[0], abs=0.15)  # its top is flat


def test_many_fits_at_once_are_those_one_by_one():
    rng = np.random.default_rng(0)
    data = rng.binomial(500, gate.curve(TRUE, X, 0.25, gate.smooth)[0], size=(5, 14)) / 500
    prior = gate.weak_prior(X)
    n = np.full(14, 500.0)
    start = np.repeat(TRUE, 5, axis=0)
    together = gate.fit(X, data, n, 0.25, gate.smooth, start, prior)
    alone = [gate.fit(X, row, n, 0.25, gate.smooth, TRUE, prior).parameters[0] for row in data]
    assert np.allclose(together.parameters, alone, atol=1e-6)


def test_collapse_is_where_five_percent_of_the_height_above_chance_is_lost():
    peak, collapse, height = gate.critical_points(TRUE, X, 0.25, gate.smooth)
    there = gate.curve(TRUE, collapse, 0.25, gate.smooth)[0, 0]
    assert there == pytest.approx(height[0] - 0.05 * (height[0] - 0.25), abs=1e-3)
    assert collapse[0] > peak[0]


def test_a_curve_that_never_falls_has_no_collapse_point():
    rise = TRUE.copy()
    rise[0, gate.DEPTH] = -16.0
    assert np.isinf(gate.critical_points(rise, X, 0.25, gate.smooth)[1][0])
