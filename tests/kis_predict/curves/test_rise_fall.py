import numpy as np
import pytest

from kis_predict.curves import rise_fall

X = np.linspace(0, 7, 14)
TRUE = np.array([[0.7, 1.3, np.log(0.7), 4.2, np.log(0.4), 1.2]])


@pytest.mark.parametrize("shape", rise_fall.SHAPES.values(), ids=list(rise_fall.SHAPES))
def test_slopes_are_those_of_the_curve(shape):
    _, slopes = rise_fall._curve_and_slopes(TRUE, X, 0.25, shape)
    for at in range(6):
        step = np.zeros((1, 6))
        step[0, at] = 1e-5
        ahead, behind = (rise_fall.curve(TRUE + sign * step, X, 0.25, shape) for sign in (1, -1))
        assert np.allclose(slopes[..., at], (ahead - behind) / 2e-5, atol=1e-6)


@pytest.mark.parametrize("shape", rise_fall.SHAPES.values(), ids=list(rise_fall.SHAPES))
def test_exact_data_give_the_collapse_point_back(shape):
    p = rise_fall.curve(TRUE, X, 0.25, shape)[0]
    prior = rise_fall.weak_prior(X)
    found = rise_fall.fit(X, p, np.full(14, 1e5), 0.25, shape, rise_fall.starts(X, prior.mean), prior).best()
    peak, collapse, height = rise_fall.critical_points(found.parameters, X, 0.25, shape)
    true_peak, true_collapse, true_height = rise_fall.critical_points(TRUE, X, 0.25, shape)
    assert collapse[0] == pytest.approx(true_collapse[0], abs=0.03)
    assert height[0] == pytest.approx(true_height[0], abs=0.003)
    assert peak[0] == pytest.approx(true_peak[0], abs=0.15)  # its top is flat


def test_many_fits_at_once_are_those_one_by_one():
    rng = np.random.default_rng(0)
    data = rng.binomial(500, rise_fall.curve(TRUE, X, 0.25, rise_fall.smooth)[0], size=(5, 14)) / 500
    prior = rise_fall.weak_prior(X)
    n = np.full(14, 500.0)
    start = np.repeat(TRUE, 5, axis=0)
    together = rise_fall.fit(X, data, n, 0.25, rise_fall.smooth, start, prior)
    alone = [rise_fall.fit(X, row, n, 0.25, rise_fall.smooth, TRUE, prior).parameters[0] for row in data]
    assert np.allclose(together.parameters, alone, atol=1e-6)


def test_collapse_loses_five_percent_of_the_height():
    peak, collapse, height = rise_fall.critical_points(TRUE, X, 0.25, rise_fall.smooth)
    there = rise_fall.curve(TRUE, collapse, 0.25, rise_fall.smooth)[0, 0]
    assert there == pytest.approx(height[0] - 0.05 * (height[0] - 0.25), abs=1e-3)
    assert collapse[0] > peak[0]


def test_a_curve_that_never_falls_has_no_collapse_point():
    rise = TRUE.copy()
    rise[0, rise_fall.DEPTH] = -16.0
    assert np.isinf(rise_fall.critical_points(rise, X, 0.25, rise_fall.smooth)[1][0])
