import numpy as np
import pytest

from kis_predict.curves import rise_fall
from kis_predict.curves.pooling import Curve, pool
from kis_predict.curves.slow_decline import slow_decline

X = np.linspace(0, 7, 14)
GATE = np.array([[1.0, 3.5, np.log(0.3), 5.0, np.log(0.2), 2.0]])


def curves(loss, noise=0.02, seed=0):
    """Return five sizes that rise, lose ``loss`` of their height evenly over a plateau of 3.5 nats, and collapse."""
    rng = np.random.default_rng(seed)
    p = rise_fall.curve(GATE, X, 0.25, rise_fall.smooth)[0]
    p = 0.25 + (p - 0.25) * (1 - loss * np.clip((X - 1.5) / 3.5, 0, 1))
    n = np.full(14, 0.25 / noise**2)
    return [Curve(X, p + noise * rng.standard_normal(14), n, 0.25) for _ in range(5)]


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_decline_before_the_collapse_is_found(seed):
    infused = curves(0.2, seed=seed)
    earlier = slow_decline(infused, pool(infused, rise_fall.smooth))
    assert 0.5 < earlier < 3.5


def test_level_tops_and_sharp_ones_do_not_sag():
    level = [curves(0.0, seed=seed) for seed in range(8)]
    assert sum(slow_decline(infused, pool(infused, rise_fall.smooth)) > 0 for infused in level) <= 1
    sharp = GATE.copy()
    sharp[0, rise_fall.PLATEAU] = 0.0
    peaked = [Curve(X, rise_fall.curve(sharp, X, 0.25, rise_fall.sharp)[0], np.full(14, 500.0), 0.25)] * 4
    assert slow_decline(peaked, pool(peaked, rise_fall.sharp)) == 0
