from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from kis_predict.laws.built_in import BudgetLaw, ComputeLaw, OffsetLaw, PowerLaw
from kis_predict.laws.law_fit import fit_law
from kis_predict.laws.nuisance_grid import BAD, BAD_SCATTER, SCATTER, Bend, nuisance_grid
from kis_predict.laws.points import Points
from kis_predict.laws.selection import Sizes, fit_laws, mixture, quantile, surprising

LAWS = {law.name: law for law in (PowerLaw(), BudgetLaw(), ComputeLaw())}


def points(y, sd=0.05, side=0):
    y = np.asarray(y, dtype=float)
    return Points(y, np.full(len(y), sd), np.broadcast_to(side, len(y)).astype(np.int64).copy())


def sizes(params, target=7e9, ratio=20.0):
    params = np.asarray(params, dtype=float)
    return Sizes(params, ratio * params, (target, ratio * target))


# Critical mixture ratios of CMR (arXiv 2407.17467, table 5 evaluated at T = 100) for 460M to 3.1B parameters.
CMR_BILLIONS = np.array([0.46, 0.94, 1.6, 3.1])
CMR_RATIOS = np.array([0.298, 0.349, 0.414, 0.478])


def test_published_ratios_follow_the_published_power():
    design = PowerLaw().features(CMR_BILLIONS, CMR_BILLIONS)
    fit = fit_law(design, points(np.log(CMR_RATIOS)), np.random.default_rng(0))
    assert np.exp(fit.beta[0]) == pytest.approx(0.361, abs=0.002)
    assert fit.beta[1] == pytest.approx(0.253, abs=0.003)


def test_the_fourth_published_ratio_is_predicted():
    three = sizes(CMR_BILLIONS[:3] * 1e9, target=3.1e9)
    (found,) = fit_laws({"power": PowerLaw()}, three, points(np.log(CMR_RATIOS[:3])), seed=0)
    assert np.exp(found.row @ found.fit.beta) == pytest.approx(CMR_RATIOS[3], rel=0.02)
    (whole,) = fit_laws({"power": PowerLaw()}, sizes(CMR_BILLIONS * 1e9), points(np.log(CMR_RATIOS)), seed=0)
    assert abs(whole.holdout) < np.log(1.02)


@pytest.mark.parametrize("exponent", [-1.15, -0.5, 0.25, 1.0])
def test_the_sign_of_the_exponent_is_free(exponent):
    N = np.geomspace(1e8, 1.3e9, 5)
    fit = fit_law(PowerLaw().features(N, N), points(30 + exponent * np.log(N)), np.random.default_rng(0))
    assert fit.beta[1] == pytest.approx(exponent, abs=0.03)


def test_few_sizes_give_wider_intervals_than_many():
    def width(count):
        N = np.geomspace(1e8, 1.3e9, count)
        y = 0.5 * np.log(N) + 0.1 * (-1.0) ** np.arange(count)
        fit = fit_law(PowerLaw().features(N, N), points(y), np.random.default_rng(0))
        draws = fit.predict(np.array([1.0, np.log(4e8)]), np.random.default_rng(1))
        return quantile(draws, fit.weights, 0.95) - quantile(draws, fit.weights, 0.05)

    assert width(3) > width(4) > width(8)


def test_a_law_without_enough_sizes_is_not_fitted():
    N = np.array([1e8, 2e8, 4e8])
    rng = np.random.default_rng(0)
    assert fit_law(PowerLaw().features(N[:1], N[:1]), points([1.0]), rng) is None
    assert fit_law(PowerLaw().features(N * 0 + 1e8, N), points([1.0, 2.0, 3.0]), rng) is None  # one size three times
    assert fit_law(BudgetLaw().features(N, 20 * N), points([1.0, 2.0, 3.0]), rng) is None  # N and D in step


N5 = np.geomspace(1e8, 1.3e9, 5)


def with_censored(at, off, side):
    """Five sizes on a line, one of them known by a bound that lies ``off`` it; what 7B is off the line by."""
    y, sides = 0.3 * np.log(N5), np.zeros(5, dtype=int)
    y[at] += off
    sides[at] = side
    fit = fit_law(PowerLaw().features(N5, N5), points(y, side=sides), np.random.default_rng(0))
    draws = fit.predict(np.array([1.0, np.log(7e9)]), np.random.default_rng(1)) - 0.3 * np.log(7e9)
    return [quantile(draws, fit.weights, at) for at in (0.05, 0.5, 0.95)], fit.bad


def test_a_censored_size_moves_the_prediction_to_its_side():
    without = with_censored(4, -3, 1)[0][1]  # a bound far below the line says nothing
    assert without == pytest.approx(0, abs=0.05)
    assert with_censored(4, 0.3, 1)[0][1] > without + 0.25
    assert with_censored(4, -1, -1)[0][1] < without - 0.5


@pytest.mark.parametrize("at", [0, 4])
def test_a_bound_at_odds_with_other_sizes_is_doubted(at):
    toward = 1 if at else -1  # a smallest size that collapses late bends the law down
    (low, middle, high), bad = with_censored(at, 1.5, 1)
    assert bad[at] > 0.5
    assert np.delete(bad, at).max() < 0.1
    assert abs(middle) < 0.2
    assert toward * (high if at else low) > 1


def test_a_collapse_that_came_too_early_is_never_doubted():
    assert with_censored(4, -1.5, -1)[1][4] == 0


def assert_agrees_with_a_grid(infused, last):
    """Hold the fit of seven groups, six of them observed, to a grid; ``last`` is the log-likelihood of the 7th."""
    N = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    X = np.stack([np.ones(7), np.log(N)], axis=1)
    fit = fit_law(X, infused, np.random.default_rng(0))
    scatters = np.linspace(np.log(0.004), np.log(4), 61)
    a, b, log_s = np.meshgrid(np.linspace(-1.5, 1.5, 101), np.linspace(-0.5, 1.8, 101), scatters)
    log_p = []
    for bad in (None, *range(7)):
        s = [np.sqrt(np.exp(2 * log_s) + 0.01 + BAD_SCATTER**2 * (at == bad)) for at in range(7)]
        lines = [a + b * x for x in np.log(N)]
        each = sum(norm.logpdf(infused.y[at], lines[at], s[at]) for at in range(6)) + last(lines[6], s[6])
        each += log_s - np.log1p((np.exp(log_s) / SCATTER) ** 2)
        log_p.append(each + np.log(1 - BAD if bad is None else BAD / 7))
    weight = np.exp(np.array(log_p) - np.max(log_p))
    weight /= weight.sum()
    assert float(fit.weights @ fit.betas[:, 1]) == pytest.approx((weight * b).sum(), abs=0.015)
    assert fit.bad == pytest.approx(weight[1:].sum(axis=(1, 2, 3)), abs=0.02)


@pytest.mark.parametrize("bound", [2.2, 2.6, 3.5])
def test_censored_posterior_agrees_with_a_grid(bound):
    infused = points([0.0, 0.4, 0.7, 1.0, 1.5, 1.7, bound], sd=0.1, side=np.array([0] * 6 + [1]))
    assert_agrees_with_a_grid(infused, lambda line, sd: norm.logsf(bound, line, sd))


@pytest.mark.parametrize("bound_first", [False, True], ids=["collapse first", "bound first"])
@pytest.mark.parametrize("log_weight", [-2.0, 0.0, 3.0])
def test_a_group_that_is_read_both_ways_agrees_with_a_grid(log_weight, bound_first):
    both = points([0.0, 0.4, 0.7, 1.0, 1.5, 1.7, 1.6], sd=0.1, side=np.zeros(7, dtype=int))
    bound = 2.5
    other = points([*both.y[:6], bound], sd=0.1, side=np.array([0] * 6 + [1]))
    doubt = np.array([np.inf] * 6 + [0.0])
    infused = replace(both, other=other, log_weight=np.array([-np.inf] * 6 + [log_weight]), doubt=doubt)
    if bound_first:
        infused = replace(other, other=both, log_weight=-infused.log_weight, doubt=doubt)
    assert_agrees_with_a_grid(
        infused,
        lambda line, sd: np.logaddexp(norm.logpdf(both.y[6], line, sd), log_weight + norm.logsf(bound, line, sd)),
    )


def test_groups_nearest_to_even_odds_are_read_both_ways():
    both = points(np.zeros(6), sd=0.1, side=np.zeros(6, dtype=int))
    other = points(np.ones(6), sd=0.1, side=np.ones(6, dtype=int))
    doubt = np.array([0.5, 3.0, 0.1, 4.0, np.inf, 0.7])
    infused = replace(both, other=other, log_weight=np.full(6, -1.0), doubt=doubt)
    design = np.stack([np.ones(6), np.arange(6.0)], axis=1)
    settings = nuisance_grid(infused, Bend(np.zeros(1), lambda line, shape: (line, line)), design)
    read = settings.points.side.any(axis=0)
    assert read.tolist() == [True, False, True, False, False, True]
    assert set(settings.log_read) == {0.0, -1.0, -2.0, -3.0}


def test_readings_that_unsettle_the_law_are_not_taken():
    N = np.array([1.0, 2.0, 4.0])
    both = points([0.0, 0.4, 0.7], sd=0.1, side=np.zeros(3, dtype=int))
    other = points([3.0, 3.0, 3.0], sd=0.1, side=np.ones(3, dtype=int))
    infused = replace(both, other=other, log_weight=np.full(3, 2.0), doubt=np.ones(3))
    X = np.stack([np.ones(3), np.log(N)], axis=1)
    sure, doubted = (fit_law(X, each, np.random.default_rng(0)) for each in (both, infused))
    assert np.array_equal(sure.betas, doubted.betas)


def test_laws_that_differ_widen_the_interval():
    N = np.geomspace(1e8, 1.3e9, 5)
    y = points(0.5 * np.log(N))
    assert [c.law.name for c in fit_laws(LAWS, sizes(N), y, 0)] == ["power"]
    off_rule = Sizes(N, 20 * N, (7e9, 200 * 7e9))
    both = fit_laws(LAWS, off_rule, y, 0)
    assert {c.law.name for c in both} == {"power", "compute"}
    draws, weights = mixture(both, 0)
    alone, alone_weights = mixture(both[:1], 0)
    # log 10 tokens per parameter more than the sweep, at an exponent of 0.25 in C, lie between the two laws.
    apart = abs(both[0].row @ both[0].fit.beta - both[1].row @ both[1].fit.beta)
    assert apart == pytest.approx(0.25 * np.log(10), abs=0.05)
    width = quantile(draws, weights, 0.95) - quantile(draws, weights, 0.05)
    assert width > quantile(alone, alone_weights, 0.95) - quantile(alone, alone_weights, 0.05) + 0.5 * apart


def test_two_budgets_tell_the_law_of_both_apart():
    N = np.repeat(np.geomspace(1e8, 1.3e9, 4), 2)
    D = N * np.tile([10.0, 80.0], 4)
    infused = points(0.6 * np.log(N) - 0.4 * np.log(D), sd=0.02)
    best = fit_laws(LAWS, Sizes(N, D, (7e9, 140e9)), infused, 0)[0]
    assert best.law.name == "budget"
    assert np.allclose(best.fit.beta[1:], [0.6, -0.4], atol=0.05)


def test_the_size_that_does_not_fit_is_named():
    N = np.geomspace(1e8, 1.3e9, 6)
    y = 0.5 * np.log(N)
    y[2] += np.log(10)
    (found,) = fit_laws({"power": PowerLaw()}, sizes(N), points(y), 0)
    assert surprising(found, points(y), 0) == [2]


def test_a_bad_size_hardly_moves_the_others_and_is_infused():
    N = np.geomspace(1e8, 1.3e9, 6)
    y = 0.5 * np.log(N)
    y[2] += np.log(10)
    fit = fit_law(PowerLaw().features(N, N), points(y), np.random.default_rng(0))
    assert fit.bad[2] > 0.9
    assert fit.at(np.array([1.0, np.log(7e9)])) == pytest.approx(0.5 * np.log(7e9), abs=0.15)


def test_sound_sizes_are_not_called_bad():
    N = np.geomspace(1e8, 1.3e9, 6)
    y = 0.5 * np.log(N) + 0.05 * np.random.default_rng(3).standard_normal(6)
    assert fit_law(PowerLaw().features(N, N), points(y), np.random.default_rng(0)).bad.max() < 0.2


def test_the_offset_law_finds_where_a_falling_power_levels_off():
    N = np.geomspace(1e7, 1e10, 10)
    y = np.log(40 + 400 * (N / 1e7) ** -0.8)
    offset, *others = fit_laws({**LAWS, "offset": OffsetLaw()}, sizes(N, target=1e12), points(y, sd=0.03), 0)
    assert offset.law.name == "offset"
    assert np.exp(offset.fit.at(offset.row)) == pytest.approx(40, rel=0.1)
    assert all(offset.weight > other.weight for other in others)


@pytest.mark.parametrize("count", [4, 5, 8])
def test_the_offset_law_has_little_weight_where_a_power_does(count):
    N = np.geomspace(1e8, 1.3e9, count)
    y = 0.5 * np.log(N) + 0.05 * np.random.default_rng(count).standard_normal(count)
    found = fit_laws({"power": PowerLaw(), "offset": OffsetLaw()}, sizes(N), points(y), 0)
    assert found[0].law.name == "power"
    assert sum(each.weight for each in found[1:]) < 0.3


def test_slopes_of_the_bend_are_those_of_its_curve():
    line, shape = np.linspace(-3, 3, 7), np.array([0.5])
    value, slope = OffsetLaw().bend(line, shape)
    ahead, behind = (OffsetLaw().bend(line + step, shape)[0] for step in (1e-6, -1e-6))
    assert np.allclose(slope, (ahead - behind) / 2e-6)
    assert (value > shape).all()
