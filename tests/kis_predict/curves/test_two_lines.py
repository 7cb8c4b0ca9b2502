import numpy as np
import pytest

from kis_predict.curves.two_lines import fit_two_lines

X = np.linspace(0, 6, 13)


def broken(x, top, up, down, floor=0.25):
    return np.maximum(floor, 0.8 + np.where(x < top, up * (x - top), -down * (x - top)))


@pytest.mark.parametrize("top", [2.2, 3.0, 3.7])
def test_two_lines_meet_where_they_meet(top):
    found = fit_two_lines(X, broken(X, top, 0.1, 0.25), np.ones(13), 0.25)
    assert found.log_peak == pytest.approx(top, abs=0.05)
    assert found.log_collapse == pytest.approx(top + 0.05 * 0.55 / 0.25, abs=0.08)


def test_points_at_the_floor_do_not_flatten_the_fall():
    found = fit_two_lines(X, broken(X, 2.0, 0.1, 0.3), np.ones(13), 0.25)
    assert found.log_peak == pytest.approx(2.0, abs=0.06)


def test_no_fall_gives_nothing():
    assert fit_two_lines(X, 0.3 + 0.05 * X, np.ones(13), 0.25) is None
