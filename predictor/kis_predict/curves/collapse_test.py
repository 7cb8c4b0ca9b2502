"""Does the retention of a size fall at all? A gate against its rise alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scipy.special import fdtrc

from kis_predict.curves import rise_fall as gate
from kis_predict.curves.noise import Noise, with_noise
from kis_predict.curves.pooling import Curve, Pooled
from kis_predict.sweep import Group

__all__ = ["gain_without_best", "p_value_of", "rise_alone"]


def rise_alone(curve: Curve, pooled: Pooled) -> gate.Fits:
    """Return the rise alone, fitted under its own weak prior: the shared shape is that of curves that fall."""
    prior = gate.weak_prior(curve.x).without_fall()
    start = gate.starts(curve.x, prior.mean)
    return gate.fit(curve.x, curve.retention, curve.n, curve.chance, pooled.shape, start, prior).best()


def p_value_of(gains: Sequence[float], noise: Noise) -> float:
    """Return that of falls at some sizes, together, that lower the deviance by ``gains``.

    F for chi-squared, as the noise is estimated too.
    """
    if not gains:
        return 1.0
    freedom = 3 * len(gains)
    return float(fdtrc(freedom, noise.freedom, sum(max(0.0, gain) for gain in gains) / freedom))


def gain_without_best(group: Group, pooled: Pooled, at: int, noise: Noise) -> float:
    """Return what the fall gains without the best run: a lucky one alone shows no collapse."""
    best = max(group.runs, key=lambda run: run.retention or 0.0)
    others = replace(group, runs=tuple(run for run in group.runs if run is not best))
    rest = Curve(*with_noise(others, noise.rho), group.chance)
    prior = pooled.of(at)[1]
    start = gate.starts(rest.x, prior.mean)
    fallen = gate.fit(rest.x, rest.retention, rest.n, rest.chance, pooled.shape, start, prior).best()
    return float(rise_alone(rest, pooled).deviance[0] - fallen.deviance[0])
