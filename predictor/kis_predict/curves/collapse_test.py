"""Does the retention of a size fall at all? The rise-fall curve against a rise alone, by likelihood ratio.

Without a fall, the deviance that fitting one gains is chi-squared with three degrees of freedom: onset, width and depth
of the fall. The noise is estimated from the same runs, so that the ratio is compared with Snedecor's F.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scipy.special import fdtrc

from kis_predict.curves import rise_fall
from kis_predict.curves.noise import Noise, with_noise
from kis_predict.curves.pooling import Curve, Pooled
from kis_predict.sweep import Group

__all__ = ["gain_without_best", "p_value_of", "rise_alone"]


def rise_alone(curve: Curve, pooled: Pooled) -> rise_fall.Fits:
    """Fit a rise alone to one size.

    Under its own weak prior, not the pooled one: what sizes share is the shape of curves that fall.
    """
    prior = rise_fall.weak_prior(curve.x).without_fall()
    start = rise_fall.starts(curve.x, prior.mean)
    return rise_fall.fit(curve.x, curve.retention, curve.n, curve.chance, pooled.shape, start, prior).best()


def p_value_of(gains: Sequence[float], noise: Noise) -> float:
    """Return the p-value of falls at one or several sizes together.

    Args:
        gains: By how much the fall lowers the deviance, a value per size.
        noise: Its degrees of freedom make the statistic one of Snedecor's F instead of chi-squared.
    """
    if not gains:
        return 1.0
    # The sum of independent chi-squared gains has the sum of their degrees of freedom; over them it is F's numerator.
    freedom = 3 * len(gains)
    return float(fdtrc(freedom, noise.freedom, sum(max(0.0, gain) for gain in gains) / freedom))


def gain_without_best(group: Group, pooled: Pooled, at: int, noise: Noise) -> float:
    """Return the gain in deviance of the fall when the run with the highest retention is left out.

    One lucky run makes all runs beyond it look like a collapse; a real one is seen without it.
    """
    # The prior of the pooled curve stays as it is: one run of one size hardly moves it.
    best = max(group.runs, key=lambda run: run.retention or 0.0)
    others = replace(group, runs=tuple(run for run in group.runs if run is not best))
    rest = Curve(*with_noise(others, noise.rho), group.chance)
    prior = pooled.of(at)[1]
    start = rise_fall.starts(rest.x, prior.mean)
    fallen = rise_fall.fit(rest.x, rest.retention, rest.n, rest.chance, pooled.shape, start, prior).best()
    return float(rise_alone(rest, pooled).deviance[0] - fallen.deviance[0])
