"""Sizes in doubt: what the laws are given of them, and what keeps them from an answer."""

from dataclasses import replace

import numpy as np
import pytest

from kis_predict.curves.size_estimates import estimate_sizes
from kis_predict.design.missing_runs import missing_runs
from kis_predict.laws.size_points import points_of
from kis_predict.sweep import build_sweep


@pytest.fixture
def sweep(sweep_runs):
    return build_sweep(sweep_runs())


@pytest.fixture
def sizes(sweep):
    return estimate_sizes(sweep.groups, bootstraps=50, seed=0, confidence=0.9)


def in_doubt(size, odds):
    bound = replace(size, censored="right", log_collapse=9.0, log_collapse_sd=0.2, log_peak=8.0, log_peak_sd=0.1)
    return replace(size, odds=odds, other=bound, log_weight=-2.0)


def test_sizes_without_doubt_have_one_reading(sizes):
    infused = points_of(sizes, "collapse")
    assert infused.other is None
    assert np.allclose(infused.y, [size.log_collapse for size in sizes])


def test_a_size_in_doubt_has_two_in_the_units_of_the_law(sizes):
    infused = points_of([in_doubt(sizes[0], 4.0), *sizes[1:]], "collapse", np.full(4, -3.0))
    assert infused.side.tolist() == [0, 0, 0, 0]
    assert infused.other.side.tolist() == [1, 0, 0, 0]
    assert infused.other.y[0] == pytest.approx(6.0)
    assert infused.log_weight.tolist() == [-2.0, -np.inf, -np.inf, -np.inf]
    assert infused.doubt == pytest.approx([np.log(4.0), np.inf, np.inf, np.inf])


def test_a_peaks_weight_is_a_density_in_its_units(sizes):
    size = in_doubt(replace(sizes[0], log_collapse_sd=0.2, log_peak_sd=0.1), 4.0)
    swapped = replace(size.other, odds=0.25, other=replace(size, odds=None, other=None), log_weight=2.0)
    collapse_first, bound_first = (points_of([each, *sizes[1:]], "peak") for each in (size, swapped))
    # Half as wide, so the density of the collapse is half as high for the same odds.
    assert collapse_first.log_weight[0] == pytest.approx(-2.0 + np.log(2))
    assert bound_first.log_weight[0] == pytest.approx(2.0 - np.log(2))


def test_three_doubtful_collapses_are_no_answer(sweep, sizes):
    assert not missing_runs(sweep, sizes)
    assert not missing_runs(sweep, [in_doubt(size, 9.0) for size in sizes])
    (line,) = missing_runs(sweep, [in_doubt(size, 1.2) for size in sizes])
    assert line.startswith("By their odds 2.2 sizes collapsed")
    assert sizes[0].group.label() in line
