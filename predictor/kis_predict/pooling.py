"""Sizes lend each other their shape: heights, widths and depths of one sweep scatter about a common mean.

A single size of ten noisy points hardly knows how wide its fall is, and its collapse point suffers. An expectation
maximisation over all sizes estimates the mean and the spread of each shape parameter (empirical Bayes; Dempster, Laird
and Rubin 1977, section 4.5), and each size is then fitted under that prior. The spread is what the sizes show of it, so
that sizes of different shapes keep their own. Where the rise and the fall lie is never shared: the laws need that from
each size alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kis_predict import gate

__all__ = ["Curve", "Pooled", "pool"]

Array = npt.NDArray[np.float64]

_SHARED = np.array([gate.HEIGHT, gate.RISE_WIDTH, gate.FALL_WIDTH, gate.DEPTH])
_ROUNDS = 12
_SPREAD = 0.3
"""Counts as one size more: widths are taken to differ by 30 % between sizes until these say otherwise."""


@dataclass(frozen=True)
class Curve:
    """The points of one size: log F, retention and effective probes, (M,) each, and the chance floor."""

    x: Array
    retention: Array
    n: Array
    chance: float

    @property
    def step(self) -> float:
        """The median gap of the grid in log F."""
        return float(np.median(np.diff(self.x)))


@dataclass(frozen=True)
class Pooled:
    """All sizes fitted with one S.

    Attributes:
        shape: S.
        fits: One a size.
        priors: Under which each was fitted.
        doubt: Standard error of the common means, (6,), zero where nothing is shared.
        score: Minus the penalised log-likelihood of all sizes together.
    """

    shape: gate.Shape
    fits: tuple[gate.Fits, ...]
    priors: tuple[gate.Prior, ...]
    doubt: Array
    score: float


def pool(curves: Sequence[Curve], shape: gate.Shape) -> Pooled:
    """Fit every size, each with the help of all; alone, a size keeps the weak prior."""
    priors = [gate.weak_prior(curve.x) for curve in curves]
    fits = [
        gate.fit(curve.x, curve.retention, curve.n, curve.chance, shape, gate.starts(curve.x, prior), prior).best()
        for curve, prior in zip(curves, priors, strict=True)
    ]
    doubt = np.zeros(6)
    weak = priors[0]
    for _ in range(_ROUNDS if len(curves) > 1 else 0):
        values = np.array([fit.parameters[0, _SHARED] for fit in fits])  # (sizes, 4)
        doubts = np.array([_variances(*each, shape) for each in zip(curves, fits, priors, strict=True)])
        mean = (values.sum(axis=0) + weak.mean[_SHARED] * 0.05) / (len(curves) + 0.05)
        spread = np.sqrt((((values - mean) ** 2 + doubts).sum(axis=0) + _SPREAD**2) / (len(curves) + 1))
        spread = np.minimum(spread, weak.sd[_SHARED])
        doubt[_SHARED] = np.sqrt((spread**2 + doubts.mean(axis=0)) / len(curves))
        priors = [_with_shared(prior, mean, spread) for prior in priors]
        fits = [
            gate.fit(curve.x, curve.retention, curve.n, curve.chance, shape, fit.parameters, prior)
            for curve, fit, prior in zip(curves, fits, priors, strict=True)
        ]
    # Once more from every start: the shared shape may have moved the best fit elsewhere.
    fits = [
        gate.fit(curve.x, curve.retention, curve.n, curve.chance, shape, gate.starts(curve.x, prior), prior).best()
        for curve, prior in zip(curves, priors, strict=True)
    ]
    return Pooled(shape, tuple(fits), tuple(priors), doubt, sum(float(fit.objective[0]) for fit in fits))


def _variances(curve: Curve, fit: gate.Fits, prior: gate.Prior, shape: gate.Shape) -> Array:
    told = gate.information(fit.parameters, curve.x, curve.n, curve.chance, shape)
    return np.asarray(np.diag(np.linalg.inv(told + np.diag(1 / prior.sd**2)))[_SHARED], dtype=np.float64)


def _with_shared(prior: gate.Prior, mean: Array, spread: Array) -> gate.Prior:
    means, sds = prior.mean.copy(), prior.sd.copy()
    means[_SHARED], sds[_SHARED] = mean, spread
    return replace(prior, mean=means, sd=sds)
