"""When a prediction is refused, and what it says is missing."""

import numpy as np
import pytest

from kis_predict.laws.built_in import built_in_laws
from kis_predict.laws.points import Points
from kis_predict.laws.refusal import LOSS, RISK, amount_refusals, prefix_errors, refusals, supported_distance
from kis_predict.laws.selection import Sizes, fit_laws
from kis_predict.prediction import PrefixError, Retained

LAWS = {law.name: law for law in built_in_laws()}
FULL = Retained(100.0, 0.8, 0.7, 0.9, of_peak=0.98)


def errors(*factors):
    return [PrefixError(1e8 * 2**at, at + 2, float(np.log(f)), float(np.log(2))) for at, f in enumerate(factors)]


def test_extrapolation_ends_where_errors_reach_a_factor_3():
    # 10 % off for every factor of 2 in N: log 3 / log 1.1 = 11.5 doublings.
    assert supported_distance(errors(5.0, 1.1, 1.1)) == pytest.approx(2 ** (np.log(3) / np.log(1.1)), rel=1e-6)


def test_two_sizes_alone_are_no_evidence_about_extrapolation():
    assert supported_distance(errors(5.0)) == 10


def test_as_far_below_the_sizes_as_above_them():
    near = errors(1.0, 1.05, 1.05)
    assert refusals(near, 0.01, 10, 30, False, 5) == []
    (line,) = refusals(near, 0.001, 10, 30, False, 120)
    assert line.startswith("The target is 1/120 of the smallest size with an observed collapse, and 100 times is the ")
    assert "sweep smaller sizes" in line
    (line,) = refusals(errors(1.0, 1.5, 1.5), 0.01, 10, 30, False, 20)
    assert "The target is 1/20 of the smallest size" in line
    assert "times the target or less" in line
    assert refusals(near, 0.001, 10, 30, True, 120) == []


@pytest.mark.parametrize(
    ("factors", "extrapolation", "width", "far", "said"),
    [
        ((1.0, 1.05, 1.05), 5, 3, False, None),
        ((1.0, 1.05, 1.05), 101, 3, False, "100 times is the limit"),
        ((1.0, 1.05, 1.05), 101, 3, True, None),
        ((1.0, 1.5, 1.5), 20, 3, False, "By how smaller sizes predicted larger ones"),
        ((1.0, 1.05, 3.2), 1, 3, False, "missed by a factor of 3.2"),
        ((1.0, 1.05, 1.05), 5, 31, False, "a factor 31 wide"),
        ((1.0, 1.05, 1.05), 5, 31, True, "wide"),
    ],
)
def test_each_rule_refuses_with_what_is_missing(factors, extrapolation, width, far, said):
    lines = refusals(errors(*factors), extrapolation, 100.0, 100.0 * width, far)
    assert bool(lines) == (said is not None)
    assert said is None or any(said in " ".join(line.split()) for line in lines)


@pytest.mark.parametrize(
    ("limits", "one_exposure", "of_peak", "said"),
    [
        ({RISK: 50.0, LOSS: 70.0}, 1e-3, 0.98, None),
        ({RISK: 0.5, LOSS: 70.0}, 1e-3, 0.98, "less than one"),
        ({RISK: 50.0, LOSS: 0.5}, 1e-3, 0.0, "collapse alone would allow F=50"),
        ({RISK: 50.0, LOSS: 70.0}, 0.95, 0.98, "more than 0.9"),
        ({RISK: 50.0, LOSS: 70.0}, None, 0.1, "hardly begun to rise (10% of the peak's height): add sizes"),
        ({RISK: 50.0, LOSS: 7.0}, None, 0.1, "General loss may rise by 0.05 nats from F=7 on"),
        ({RISK: 50.0, LOSS: 7.0}, None, 0.1, "accept a greater --max-loss-rise (collapse alone would allow F=50)"),
        ({RISK: 50.0, "share of 0.9": 7.0}, None, 0.1, "infuse fewer facts"),
    ],
)
def test_an_amount_that_is_no_guide_is_refused(limits, one_exposure, of_peak, said):
    kept = Retained(min(limits.values()), 0.8, 0.7, 0.9, of_peak)
    lines = amount_refusals(limits, one_exposure, kept, 100.0, False, 0.05)
    assert bool(lines) == (said is not None)
    assert said is None or said in lines[0]


@pytest.mark.parametrize(("binding", "refused"), [(RISK, False), (LOSS, True)])
def test_an_amount_that_is_low_by_intent_may_lie_below_the_rise(binding, refused):
    limits = {RISK: 50.0, LOSS: 50.0, binding: 20.0}
    assert bool(amount_refusals(limits, None, Retained(20.0, 0.3, 0.2, 0.4, 0.1), 100.0, True, 0.05)) == refused


def test_prefix_errors_use_smaller_sizes_only():
    n = np.geomspace(1e8, 1e9, 6)
    y = 0.5 * np.log(n)
    points = Points(y, np.full(6, 0.05), np.zeros(6, dtype=np.int64))
    off = Points(np.append(y[:-1], y[-1] + 2), points.sd, points.side)
    straight, bent = (
        prefix_errors(fit_laws(LAWS, Sizes(n, 20 * n, (5e9, 1e11)), each, 0), list(n)) for each in (points, off)
    )
    assert [each.sizes for each in straight] == [2, 3, 4, 5]
    assert max(abs(each.log_error) for each in straight[1:]) < 0.15
    assert bent[-1].log_error == pytest.approx(straight[-1].log_error - 2, abs=0.15)
    assert [a.log_error for a in bent[:2]] == pytest.approx([a.log_error for a in straight[:2]], abs=0.15)
