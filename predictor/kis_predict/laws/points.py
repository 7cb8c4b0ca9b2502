"""Estimates of log F_c by group, and their likelihood given a law's values."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

__all__ = ["Points", "log_likelihood"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """One estimate or bound per group, arrays of (groups,); (K, groups) where K settings read them differently.

    Attributes:
        y: Natural logarithm of the amount, or of the bound.
        sd: Its standard error.
        side: 0 where observed, +1 where the amount lies above y, -1 where below.
        other: A second reading of each group, where the runs of the group alone do not exclude it.
        log_weight: How much likelier it makes these runs than the first does, nats; -inf where there is none.
        doubt: How far the odds of the two are from even, |log odds|; inf where there is no other.
    """

    y: Array
    sd: Array
    side: npt.NDArray[np.int64]
    other: Points | None = None
    log_weight: Array | None = None
    doubt: Array | None = None

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Points:
        """Return some of the groups."""
        other = None if self.other is None else self.other.take(rows)
        weight, doubt = (None if each is None else each[rows] for each in (self.log_weight, self.doubt))
        return Points(self.y[rows], self.sd[rows], self.side[rows], other, weight, doubt)

    def shifted(self, by: Array | float) -> Points:
        """Return them in other units: ``by`` is added to the logarithms."""
        other = None if self.other is None else self.other.shifted(by)
        return replace(self, y=self.y + by, other=other)


def log_likelihood(fitted: Array, points: Points, spread: Array) -> Array:
    """Return the log-likelihood, (K,), of fitted values and spreads, (K, groups) each."""
    z = (points.y - fitted) / spread
    gauss = -0.5 * z**2 - np.log(spread) - 0.5 * np.log(2 * np.pi)
    return np.asarray(np.where(points.side == 0, gauss, log_ndtr(-points.side * z)).sum(axis=1), dtype=np.float64)
