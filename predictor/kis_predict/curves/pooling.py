"""Partial pooling of curve shapes: heights, widths and depths of the sizes of one sweep scatter about a common mean.

Ten noisy points of a single size hardly determine how wide its fall is, and the collapse point suffers. An expectation
maximisation over all sizes estimates the mean and the spread of each shape parameter (empirical Bayes; Dempster, Laird
and Rubin 1977, section 4.5), and each size is then fitted under that prior. The spread is what the sizes show of it, so
that sizes of different shapes keep their own. Where the rise and the fall lie is never shared: the laws need that from
each size alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kis_predict.curves import rise_fall

__all__ = ["Curve", "Pooled", "pool"]

Array = npt.NDArray[np.float64]

_SHARED = np.array([rise_fall.HEIGHT, rise_fall.PLATEAU, rise_fall.RISE_WIDTH, rise_fall.FALL_WIDTH, rise_fall.DEPTH])
_ROUNDS = 12
_SETTLED = 1e-3
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
        fits: One a size, (sizes,).
        prior: Under which they were fitted: one mean and spread a size.
        doubt: Standard error of the common means, (6,), zero where nothing is shared.
        score: Minus the log evidence of all sizes together, by Laplace's method.
    """

    shape: rise_fall.Shape
    fits: rise_fall.Fits
    prior: rise_fall.Prior
    doubt: Array
    score: float

    def of(self, at: int) -> tuple[Array, rise_fall.Prior]:
        """Return the curve of one size, (1, 6), and its prior."""
        return self.fits.parameters[at : at + 1], rise_fall.Prior(self.prior.mean[at], self.prior.sd[at])


@dataclass(frozen=True)
class Table:
    """Curves side by side, each (sizes, M): shorter ones are filled up with points that weigh nothing."""

    x: Array
    retention: Array
    n: Array
    chance: Array  # (sizes, 1)

    @classmethod
    def of(cls, curves: Sequence[Curve]) -> Table:
        """Lay ``curves`` side by side."""
        longest = max(len(curve.x) for curve in curves)

        def filled(name: str, mode: Literal["edge", "constant"]) -> Array:
            rows = [getattr(curve, name) for curve in curves]
            return np.array([np.pad(row, (0, longest - len(row)), mode) for row in rows])

        chance = np.array([[curve.chance] for curve in curves])
        return cls(filled("x", "edge"), filled("retention", "edge"), filled("n", "constant"), chance)

    def fit(self, shape: rise_fall.Shape, start: Array, prior: rise_fall.Prior) -> rise_fall.Fits:
        """Fit each size from its starts, (sizes, starts, 6), and return the best of each."""
        sizes, count = start.shape[:2]
        x, retention, n, chance = (
            np.repeat(table, count, axis=0) for table in (self.x, self.retention, self.n, self.chance)
        )
        every = rise_fall.Prior(np.repeat(prior.mean, count, axis=0), np.repeat(prior.sd, count, axis=0))
        return rise_fall.fit(x, retention, n, chance, shape, start.reshape(-1, 6), every).best(sizes)

    def information(self, shape: rise_fall.Shape, fits: rise_fall.Fits, prior: rise_fall.Prior) -> Array:
        """Return that of each size's parameters, the prior's included, (sizes, 6, 6)."""
        data = rise_fall.information(fits.parameters, self.x, self.n, self.chance, shape)
        return data + np.eye(6) / prior.sd[:, None] ** 2


def pool(curves: Sequence[Curve], shape: rise_fall.Shape) -> Pooled:
    """Fit every size, each with the help of all; alone, a size keeps the weak prior.

    Args:
        curves: The sizes.
        shape: S.
    """
    table, sizes = Table.of(curves), len(curves)
    shared = np.setdiff1d(_SHARED, [rise_fall.PLATEAU]) if shape.peaked else _SHARED
    weak = [rise_fall.weak_prior(curve.x, shape) for curve in curves]
    alone = prior = rise_fall.Prior(np.array([each.mean for each in weak]), np.array([each.sd for each in weak]))

    def everywhere(prior: rise_fall.Prior) -> Array:
        return np.array([rise_fall.starts(curve.x, prior.mean[at]) for at, curve in enumerate(curves)])

    fits = table.fit(shape, everywhere(prior), prior)
    doubt = np.zeros(6)
    usual, widest = alone.mean[0, shared], alone.sd[0, shared]
    for _ in range(_ROUNDS if sizes > 1 else 0):
        # E step: posterior mean and variance of each size's shape, by Laplace's method.
        values = fits.parameters[:, shared]  # (sizes, shared)
        doubts = np.diagonal(np.linalg.inv(table.information(shape, fits, prior)), axis1=1, axis2=2)[:, shared]
        # M step. The usual shape counts for a twentieth of a size, the usual spread for one: both keep two or three
        # sizes that happen to agree from being forced into one shape.
        mean = (values.sum(axis=0) + usual * 0.05) / (sizes + 0.05)
        spread = np.sqrt((((values - mean) ** 2 + doubts).sum(axis=0) + _SPREAD**2) / (sizes + 1))
        spread = np.minimum(spread, widest)
        doubt[shared] = np.sqrt((spread**2 + doubts.mean(axis=0)) / sizes)
        settled = np.abs(np.append(prior.mean[0, shared] - mean, prior.sd[0, shared] - spread)).max() < _SETTLED
        prior = rise_fall.Prior(alone.mean.copy(), alone.sd.copy())
        prior.mean[:, shared], prior.sd[:, shared] = mean, spread
        fits = table.fit(shape, fits.parameters[:, None], prior)
        if settled:
            break
    if sizes > 1:
        # Once more from every start: the shared shape may have moved the best fit elsewhere.
        fits = table.fit(shape, everywhere(prior), prior)
    # Laplace's method: a shape is judged by the likelihood over all its parameters, not at the best ones alone.
    volume = np.linalg.slogdet(table.information(shape, fits, prior))[1] + 2 * np.log(prior.sd).sum(axis=1)
    return Pooled(shape, fits, prior, doubt, float((fits.objective + 0.5 * volume).sum()))
