"""How laws are weighed: by what they say of larger sizes from smaller ones."""

from dataclasses import replace

import numpy as np
import pytest

from kis_predict.laws.built_in import built_in_laws
from kis_predict.laws.points import Points
from kis_predict.laws.selection import Sizes, Unit, at_risk, fit_laws, mixture, quantile
from kis_predict.pipeline import law_report, leading_law
from kis_predict.report.texts import law_text

LAWS = {law.name: law for law in built_in_laws()}
N = np.geomspace(1e8, 2.4e10, 8)


def answer(y, n=N, times=5.0, sd=0.06, units=None, tokens=None, target_tokens=None):
    points = Points(np.asarray(y), np.full(len(y), sd), np.zeros(len(y), dtype=np.int64))
    target = n[-1] * times, target_tokens or 20 * n[-1] * times
    candidates = fit_laws(LAWS, Sizes(n, 20 * n if tokens is None else tokens, target), points, 0, units)
    draws, weights = mixture(candidates, 0)
    return candidates, [quantile(draws, weights, at) for at in (0.05, 0.5, 0.95)]


@pytest.mark.parametrize("times", [5, 25])
def test_a_law_that_saturates_is_not_carried_on_as_a_power(times):
    def saturating(n):
        return np.log(600 / (1 + 5 * (n / 1e8) ** -1.1))

    candidates, (low, middle, high) = answer(saturating(N), times=times)
    assert low < saturating(N[-1] * times) < high
    assert middle == pytest.approx(saturating(N[-1] * times), abs=0.3)
    assert "power" not in {each.law.name for each in candidates if each.weight > 0.05}


@pytest.mark.parametrize("curvature", [-0.06, 0.06])
def test_curvature_of_either_sign_is_followed(curvature):
    def curved(n):
        return 5 + 0.4 * np.log(n / 1e9) + curvature * np.log(n / 1e9) ** 2

    _, (low, middle, high) = answer(curved(N))
    assert low < curved(N[-1] * 5) < high
    assert middle == pytest.approx(curved(N[-1] * 5), abs=0.35)


def test_the_recommendation_keeps_the_risk_where_laws_that_bend_count_double(monkeypatch):
    candidates, _ = answer(0.4 * np.log(N[:5]) - 0.06 * np.log(N[:5] / 1e9) ** 2, n=N[:5], times=25)
    draws, weights = mixture(candidates, 0)
    # (draws,) whether a draw is of a law with a curvature.
    bends = np.repeat(
        ["curved" in each.law.name for each in candidates], [len(each.fit.weights) for each in candidates]
    )
    doubled = quantile(draws, weights * np.where(bends, 2.0, 1.0), 0.05)
    assert doubled < quantile(draws, weights, 0.05) - 0.01
    assert at_risk(candidates, draws, weights, 0.05) == pytest.approx(doubled)
    # Of some draws, these alone count: without the laws that bend it is their plain quantile.
    assert at_risk(candidates, draws, weights, 0.05, ~bends) == quantile(draws[~bends], weights[~bends], 0.05)
    monkeypatch.setattr("kis_predict.laws.built_in.CAUTION", 1.0)
    assert at_risk(candidates, draws, weights, 0.05) == quantile(draws, weights, 0.05)


def test_laws_that_bend_upwards_raise_no_recommendation():
    candidates, _ = answer(-0.5 * np.log(N) + 0.05 * np.log(N / 1e9) ** 2)
    draws, weights = mixture(candidates, 0)
    for risk in (0.05, 0.5):
        assert at_risk(candidates, draws, weights, risk) <= quantile(draws, weights, risk)


@pytest.mark.parametrize("times", [5, 25])
@pytest.mark.parametrize("curvature", [-0.03, -0.06, -0.12])
def test_no_amount_above_the_collapse_is_recommended_for_a_law_that_bends_down(curvature, times):
    def bent(n):
        return 5 + 0.4 * np.log(n / 1e9) + curvature * np.log(n / 1e9) ** 2

    sizes = N[:6]
    candidates, _ = answer(bent(sizes), n=sizes, times=times)
    assert at_risk(candidates, *mixture(candidates, 0), 0.05) < bent(sizes[-1] * times)


def test_straight_laws_keep_useful_intervals():
    rng = np.random.default_rng(0)
    widths = []
    for _ in range(4):
        y = 0.5 * np.log(N[:6]) + 0.06 * rng.standard_normal(6)
        candidates, (low, middle, high) = answer(y, n=N[:6])
        assert candidates[0].law.name == "power"
        assert middle == pytest.approx(0.5 * np.log(N[5] * 5), abs=0.35)
        widths.append(high - low)
    assert np.exp(np.median(widths)) < 2.6


def test_near_sizes_do_not_allow_any_exponent(monkeypatch):
    near = np.array([3.3e5, 4.7e5, 6.9e5])
    y = np.log([247, 235, 232])
    _, (low, middle, high) = answer(y, n=near, times=1.44, sd=0.15)
    assert middle == pytest.approx(np.log(235), abs=0.1)
    assert low > np.log(110)
    assert high < np.log(450)
    _, elsewhere = answer(y, n=1e4 * near, times=1.44, sd=0.15)
    assert elsewhere == pytest.approx([low, middle, high], abs=1e-6)
    monkeypatch.setattr("kis_predict.laws.nuisance_grid.EXPONENT", 50.0)
    _, (flat, _, _) = answer(y, n=near, times=1.44, sd=0.15)
    assert low - flat > 0.4


@pytest.mark.parametrize("exponent", [-1.15, 1.0])
def test_the_prior_of_the_exponent_moves_no_settled_law(exponent):
    candidates, (_, middle, _) = answer(exponent * np.log(N[:5] / 1e9), n=N[:5])
    (power,) = (each for each in candidates if each.law.name == "power")
    assert power.fit.beta[1] == pytest.approx(exponent, abs=0.01)
    assert middle == pytest.approx(exponent * np.log(N[4] * 5 / 1e9), abs=0.12)


def test_a_straight_law_is_named_unless_a_bent_one_is_twice_as_likely():
    candidates, _ = answer(0.4 * np.log(N[:4]), n=N[:4])
    bent = next(each for each in candidates if each.bend is not None)
    power = next(each for each in candidates if each.law.name == "power")
    for weight, named in ((0.51, power), (0.49, bent)):
        assert leading_law([replace(bent, weight=1.0), replace(power, weight=weight)]).law is named.law


def test_the_report_of_a_bent_law_has_the_parameter_that_bends_it():
    y = np.log(50 + np.exp(6 - 0.9 * np.log(N / 1e8)))
    candidates, _ = answer(y)
    offset = next(each for each in candidates if each.law.name == "offset")
    report = law_report(offset, candidates, 0.9)
    low, high = report.intervals["log F_0"]
    assert low < report.parameters["log F_0"] < high
    assert f"log F_0 = {report.parameters['log F_0']:.3g} [{low:.3g}, {high:.3g}]" in law_text(report)


def test_a_law_no_prefix_settles_keeps_its_weight():
    candidates, _ = answer(0.5 * np.log(N[:4]), n=N[:4])
    weights = {each.law.name: each.weight for each in candidates}
    assert 0.02 < weights["curved"] < weights["power"]


def test_off_the_rule_both_axes_stay_in_the_answer():
    n, d = N[:5], np.full(5, 2e10)
    units = {"frequency": Unit(np.zeros(5), 0.0), "share": Unit(-np.log(d), -float(np.log(2e11)))}
    candidates, (low, _, high) = answer(
        np.full(5, np.log(1e4)), n=n, units=units, tokens=d, target_tokens=2e11
    )  # fmt: skip
    assert {each.axis for each in candidates} == {"frequency", "share"}
    assert np.exp(low) < 1.1e4
    assert np.exp(high) > 0.9e5  # the same share of ten times the tokens


def test_two_budgets_at_one_size_settle_the_exponent_of_d():
    n = np.append(N[:5], N[2])
    tokens = np.append(20 * N[:5], 40 * N[2])
    y = -0.1 * np.log(n) + 0.8 * np.log(tokens)
    points = Points(y, np.full(6, 0.04), np.zeros(6, dtype=np.int64))
    order = np.argsort(n, kind="stable")
    candidates = fit_laws(LAWS, Sizes(n[order], tokens[order], (5e10, 1e13)), points.take(order), 0)
    budget = next(each for each in candidates if each.law.name == "budget")
    assert budget.fit.beta[2] == pytest.approx(0.8, abs=0.25)
    assert budget.weight > 0.3
