"""Across sizes: a law through the estimates of all sizes, and what it predicts at the target with all its doubt.

    y_g = x_g beta + e_g,    e_g ~ N(0, sigma^2 + s_g^2)

y_g is log F_c of group g, x_g its row of the law's design, s_g its standard error from the bootstrap, sigma the law's
own scatter. Censored groups enter by the probability that y_g lies beyond their bound (Tobin 1958). beta has a flat
prior, so that the exponent's sign is free; sigma a half-Cauchy (Gelman 2006, Bayesian Analysis 1(3)), and both are
integrated out: with few sizes the prediction gets the heavy tails of Student's t instead of pretending that the scatter
is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

__all__ = ["LawFit", "Points", "fit_law"]

Array = npt.NDArray[np.float64]

SCATTER = 0.15
"""Scale of the half-Cauchy, nats: half of all laws are taken to scatter by less than 15 %."""
_SIGMAS = np.geomspace(0.004, 4.0, 48)
_DRAWS = 20_000


@dataclass(frozen=True)
class Points:
    """What the groups say, each (groups,).

    Attributes:
        y: Natural logarithm of the amount, or of the bound.
        sd: Its standard error.
        side: 0 where observed, +1 where the amount lies above y, -1 where below.
    """

    y: Array
    sd: Array
    side: npt.NDArray[np.int64]

    def take(self, rows: npt.NDArray[np.bool_]) -> Points:
        """Return some of the groups."""
        return Points(self.y[rows], self.sd[rows], self.side[rows])


@dataclass(frozen=True)
class LawFit:
    """A fitted law.

    Attributes:
        beta: Its parameters at the posterior mean, (p,).
        log_likelihood: At the maximum.
        betas: Draws from the posterior, (draws, p).
        sigmas: (draws,)
        weights: (draws,), sum 1.
    """

    beta: Array
    log_likelihood: float
    betas: Array
    sigmas: Array
    weights: Array

    def predict(self, row: Array, rng: np.random.Generator) -> Array:
        """Return draws, (draws,), of log F_c at a design row (p,): the law's line plus its own scatter."""
        centre = self.betas @ row
        return np.asarray(centre + self.sigmas * rng.standard_normal(len(centre)), dtype=np.float64)


def fit_law(design: Array, points: Points, rng: np.random.Generator) -> LawFit | None:
    """Fit a law, or return None where the observed groups cannot settle its parameters.

    Args:
        design: (groups, p), all groups.
        points: What each says.
        rng: For the draws.
    """
    observed = points.side == 0
    p = design.shape[1]
    if np.count_nonzero(observed) < p or _rank(design[observed]) < p:
        return None
    # Centred and scaled columns: log N near 20 beside a column of ones would leave the system near singular.
    _, triangle = np.linalg.qr(design[observed])
    basis = np.linalg.inv(triangle) * np.sqrt(np.count_nonzero(observed))
    rows = design @ basis
    modes, roots, logs, peaks = [], [], [], []
    for sigma in _SIGMAS:
        mode, information, value = _mode(rows, points, sigma)
        modes.append(mode)
        roots.append(np.linalg.inv(np.linalg.cholesky(information)).T)
        peaks.append(value)
        prior = np.log(sigma) - np.log1p((sigma / SCATTER) ** 2)  # the grid is even in log sigma
        logs.append(value - 0.5 * np.linalg.slogdet(information)[1] + prior)
    chance = np.exp(np.array(logs) - max(logs))
    # Systematic resampling: every sigma gets its share of the draws to within one.
    at = np.searchsorted(np.cumsum(chance / chance.sum()), (np.arange(_DRAWS) + rng.random()) / _DRAWS)
    at = rng.permutation(np.minimum(at, len(_SIGMAS) - 1))
    noise = rng.standard_normal((_DRAWS, p))
    draws = np.array(modes)[at] + np.einsum("dij,dj->di", np.array(roots)[at], noise)
    sigmas = _SIGMAS[at]
    if observed.all():
        weights = np.full(_DRAWS, 1 / _DRAWS)
    else:
        # Given sigma, the posterior is Gaussian but for the censored groups: importance weights put that right.
        exact = _log_likelihood(rows @ draws.T, points, sigmas)
        log_weights = exact - (np.array(peaks)[at] - 0.5 * (noise**2).sum(axis=1))
        weights = np.exp(np.minimum(log_weights - np.quantile(log_weights, 0.99), 5.0))
        weights /= weights.sum()
    return LawFit(basis @ (weights @ draws), float(max(peaks)), draws @ basis.T, sigmas, weights)


def _rank(design: Array) -> int:
    """Return the rank. Columns in step to a thousandth, as log N and log D at constant D/N, count once."""
    return int(np.linalg.matrix_rank(design / np.linalg.norm(design, axis=0), tol=1e-3))


def _log_likelihood(fitted: Array, points: Points, sigma: Array) -> Array:
    """Return the log-likelihood, (draws,), of fitted values (groups, draws) and sigma (draws,)."""
    spread = np.sqrt(sigma**2 + points.sd[:, None] ** 2)
    z = (points.y[:, None] - fitted) / spread
    side = points.side[:, None]
    terms = np.where(side == 0, -0.5 * z**2 - np.log(spread) - 0.5 * np.log(2 * np.pi), log_ndtr(-side * z))
    return np.asarray(terms.sum(axis=0), dtype=np.float64)


def _mode(rows: Array, points: Points, sigma: float) -> tuple[Array, Array, float]:
    """Return the most likely beta at one sigma, the information there and the log-likelihood. Newton; it is concave."""
    spread = np.sqrt(sigma**2 + points.sd**2)
    observed = points.side == 0
    weight = np.where(observed, 1 / spread**2, 0.0)
    beta = np.linalg.solve((rows * weight[:, None]).T @ rows, (rows * weight[:, None]).T @ points.y)
    value = float(_log_likelihood((rows @ beta)[:, None], points, np.array([sigma]))[0])
    information = (rows * weight[:, None]).T @ rows
    for _ in range(0 if observed.all() else 50):
        z = (points.y - rows @ beta) / spread
        # Mills ratio: slope of log Phi at -side z.
        t = -points.side * z
        mills = np.exp(-0.5 * t**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(t))
        slope = np.where(observed, z / spread, points.side * mills / spread)
        bend = np.where(observed, 1 / spread**2, mills * (mills + t) / spread**2)
        information = (rows * bend[:, None]).T @ rows
        step = np.linalg.solve(information, rows.T @ slope)
        scale = 1.0
        while scale > 1e-6:
            tried = float(_log_likelihood((rows @ (beta + scale * step))[:, None], points, np.array([sigma]))[0])
            if tried >= value:
                break
            scale *= 0.5
        beta, gain, value = beta + scale * step, tried - value, max(tried, value)
        if gain < 1e-9:
            break
    return np.asarray(beta, dtype=np.float64), np.asarray(information, dtype=np.float64), value
