"""Sweeps that earlier methods answered confidently and wrongly: a safe answer, or a refusal with its reason."""

from dataclasses import replace

import numpy as np
import pytest

from kis_predict.laws.built_in import built_in_laws
from kis_predict.pipeline import predict
from kis_predict.request import PredictionRequest

LAWS = {law.name: law for law in built_in_laws()}
FIVE = tuple(1e8 * 2.2**at for at in range(5))
EIGHT = tuple(1e8 * 2.2**at for at in range(8))
WIDE = tuple(1e8 * 3.97**at for at in range(5))


@pytest.fixture
def runs(sweep_runs):
    """Make sweeps without noise whose law is any function of N."""

    def make(law, sizes, **more):
        return [
            run
            for params in sizes
            for run in sweep_runs(
                sizes=(params,), level=law(params), exponent=0, probes=None, **{"n": 1000, "facts": None, **more}
            )
        ]

    return make


def ask(runs, params, **more):
    return predict(runs, PredictionRequest(params=int(params), bootstraps=60, **more), LAWS)


def saturating(params):
    return 600 / (1 + 5 * (params / 1e8) ** -1.1)


def rising(params):
    return 100 * (params / 1e8) ** 0.47


def turning(params):
    return 100 * min(params / 1e8, 5) ** 0.55 * max(params / 5e8, 1) ** -0.3


@pytest.mark.parametrize("times", [5, 25])
@pytest.mark.parametrize("sizes", [WIDE, EIGHT], ids=["five sizes", "eight sizes"])
def test_a_law_that_levels_off(runs, sizes, times):
    target = sizes[-1] * times
    found = ask(runs(saturating, sizes), target)
    assert found.collapse.low < saturating(target) < found.collapse.high
    assert 0.1 * saturating(target) < found.recommendation.frequency < saturating(target)
    # An amount below what interval and risk let expect has its reason beside it.
    reasons = [line for line in found.assumptions if "count double" in line]
    assert len(reasons) == (found.recommendation.frequency < 0.95 * found.collapse.low)
    assert all(f"{found.collapse.low:.3g}," in line for line in reasons)


@pytest.mark.parametrize("never", [1, 2])
def test_small_sizes_at_chance(runs, never):
    sweep = [replace(run, retention=0.25) if run.params < 1.5 * FIVE[never - 1] else run for run in runs(rising, FIVE)]
    found = ask(sweep, 1e10)
    assert found.collapse.low < rising(1e10) < found.collapse.high
    assert found.collapse.high / found.collapse.low < 10
    assert 0.3 * rising(1e10) < found.recommendation.frequency < rising(1e10)
    assert sum("never learnt" in line for line in found.warnings) == never


@pytest.mark.parametrize("target", [7e9, 1e12])
def test_flat_noise(runs, target):
    rng = np.random.default_rng(3)
    sweep = [
        replace(run, retention=float(np.clip(0.6 + 0.06 * rng.standard_normal(), 0, 1)), n=500)
        for run in runs(rising, tuple(1e8 * 3**at for at in range(8)), points=6)
    ]
    found = ask(sweep, target)
    assert found.recommendation is None
    assert found.missing


@pytest.mark.parametrize("factor", [0.1, 10])
def test_a_share_where_d_is_the_same_everywhere(runs, factor):
    tokens = 2e10
    sweep = [
        replace(run, tokens=int(tokens), facts=20_000, tokens_per_fact=20.0)
        for run in runs(lambda params: 12_500, FIVE)
    ]
    found = ask(sweep, 1e10, tokens=int(factor * tokens))
    both = 12_500 * min(1, factor), 12_500 * max(1, factor)
    assert found.collapse.low < both[0] * 1.05
    assert both[1] / 1.05 < found.collapse.high
    assert found.recommendation.frequency < both[0]
    assert any("cannot be known from this sweep" in line for line in found.warnings)


def test_one_frequency_is_a_slip_of_the_pen(runs):
    sweep = runs(rising, FIVE)
    slip = [replace(sweep[0], frequency=1e-300), *sweep[1:]]
    found, whole = ask(slip, 1e10), ask(sweep, 1e10)
    assert any("doubtful frequency" in line and sweep[0].source in line for line in found.warnings)
    assert found.collapse.frequency == pytest.approx(whole.collapse.frequency, rel=0.1)


@pytest.mark.parametrize("times", [5, 25])
def test_a_law_that_turns_in_mid_sweep(runs, times):
    target = FIVE[-1] * times
    found = ask(runs(turning, FIVE), target)
    if found.recommendation is None:
        assert found.missing
    else:
        assert found.collapse.low < turning(target) < found.collapse.high
        assert found.recommendation.frequency < turning(target)
