"""Laws through published critical points."""

import numpy as np
import pytest

from kis_plugin.errors import KISError
from kis_predict.laws.built_in import built_in_laws
from kis_predict.laws.given_points import CriticalPoint, fit_points

LAWS = {law.name: law for law in built_in_laws()}
# CMR (arXiv 2407.17467), critical mixture ratios at T = 100.
CMR = [CriticalPoint(n, r) for n, r in ((0.46e9, 0.2976), (0.94e9, 0.3489), (1.6e9, 0.4143), (3.1e9, 0.4783))]
# Christoph et al. (arXiv 2506.16912), learning efficiency of facts by model size.
ALPHAS = [CriticalPoint(n, a) for n, a in ((124e6, 0.0815), (209e6, 0.0899), (355e6, 0.0965))]


def exponent(answer):
    return next(each.fit.beta[1] for each in answer.candidates if each.law.name == "power")


def test_published_ratios_follow_their_power_law():
    answer = fit_points(CMR, (7e9, None), LAWS)
    assert exponent(answer) == pytest.approx(0.253, abs=0.005)
    assert abs(np.expm1(answer.prefix_errors[-1].log_error)) < 0.04
    assert answer.low < 0.3609 * 7**0.2530 < answer.high


def test_the_third_published_efficiency_is_predicted():
    answer = fit_points(ALPHAS, (774e6, None), LAWS)
    assert exponent(answer) == pytest.approx(0.161, abs=0.004)
    assert abs(np.expm1(answer.prefix_errors[-1].log_error)) < 0.04


def test_wide_errors_of_points_widen_the_interval():
    sure, unsure = (
        fit_points([CriticalPoint(p.params, p.amount, sd * p.amount) for p in CMR], (7e9, None), LAWS)
        for sd in (0.01, 0.2)
    )
    assert unsure.high / unsure.low > 1.5 * sure.high / sure.low


@pytest.mark.parametrize(
    ("points", "target"),
    [(CMR[:2], (7e9, None)), ([*CMR, CriticalPoint(5e9, 0.5, tokens=1e11)], (7e9, None))],
)
def test_points_that_settle_nothing_are_refused(points, target):
    with pytest.raises(KISError, match="points"):
        fit_points(points, target, LAWS)
