"""Across sizes: a law through the estimates of all sizes, and what it predicts at the target with all its doubt.

    y_g = f(x_g beta) + e_g,    e_g ~ N(0, sigma^2 + s_g^2)

y_g is log F_c of group g, x_g its row of the law's design, s_g its standard error from the bootstrap, sigma the law's
own scatter; f is the identity but for laws that bend. Censored groups enter by the probability that y_g lies beyond
their bound (Tobin 1958). beta has a flat prior, so that the exponent's sign is free; sigma a half-Cauchy (Gelman 2006,
Bayesian Analysis 1(3)), and both are integrated out: with few sizes the prediction gets the heavy tails of Student's t
instead of pretending that the scatter is known. One size may be bad: with a prior probability of one in ten its e_g is
far wider (a contaminated normal, Tukey 1960), so that it hardly counts once the others speak against it. A size without
a collapse may be the bad one too; one that collapsed before its first frequency may not, as letting it off would raise
what is recommended on no evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

__all__ = ["Bend", "LawFit", "Points", "fit_law", "log_likelihood"]

Array = npt.NDArray[np.float64]

SCATTER = 0.15
"""Scale of the half-Cauchy, nats: half of all laws are taken to scatter by less than 15 %."""
BAD = 0.1
"""Prior probability that one size is bad."""
BAD_SCATTER = 1.0
"""Standard deviation of a bad size, nats."""
_SIGMAS = np.geomspace(0.004, 4.0, 40)
_DRAWS = 20_000
_ROUNDS = 60
_PULL = 0.01  # of laws that bend: a Gaussian of 10 nats on each coordinate, where the data leave one free


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
class Bend:
    """How a law leaves the straight line: log F_c = curve(x beta, shape)[0].

    Attributes:
        shapes: Values of the parameter that bends it, (shapes,), equally likely beforehand.
        curve: Takes the line and the shape, arrays that broadcast; returns log F_c and its slope by the line.
    """

    shapes: Array
    curve: Callable[[Array, Array], tuple[Array, Array]]


def _straight(line: Array, shape: Array) -> tuple[Array, Array]:
    return line, np.ones_like(line)


_STRAIGHT = Bend(np.zeros(1), _straight)


@dataclass(frozen=True)
class LawFit:
    """A fitted law.

    Attributes:
        beta: Its parameters at the posterior mean, (p,).
        log_likelihood: At the maximum.
        betas: Draws from the posterior, (draws, p).
        sigmas: (draws,)
        weights: (draws,), sum 1.
        shapes: What bends the law, (draws,).
        bend: How it bends.
        bad: Probability that a group is the bad one, (groups,).
    """

    beta: Array
    log_likelihood: float
    betas: Array
    sigmas: Array
    weights: Array
    shapes: Array
    bend: Bend
    bad: Array

    def lines(self, row: Array) -> Array:
        """Return draws, (draws,), of the law's own value at a design row (p,), without scatter."""
        return self.bend.curve(self.betas @ row, self.shapes)[0]

    def at(self, row: Array) -> float:
        """Return the law's own value at a design row (p,): the posterior mean."""
        return float(self.weights @ self.lines(row))

    def predict(self, row: Array, rng: np.random.Generator) -> Array:
        """Return draws, (draws,), of log F_c at a design row (p,): the law's line plus its own scatter."""
        centre = self.lines(row)
        return np.asarray(centre + self.sigmas * rng.standard_normal(len(centre)), dtype=np.float64)


@dataclass(frozen=True)
class _Settings:
    """Everything but beta, one setting an entry: sigma and shape (K,), spread (K, groups), log_prior (K,)."""

    sigma: Array
    shape: Array
    bad: npt.NDArray[np.int64]
    spread: Array
    log_prior: Array


def fit_law(design: Array, points: Points, rng: np.random.Generator, bend: Bend | None = None) -> LawFit | None:
    """Fit a law, or return None where the observed groups cannot settle its parameters.

    Args:
        design: (groups, p), all groups.
        points: What each says.
        rng: For the draws.
        bend: Of a law that is not linear on the log scale.
    """
    observed = points.side == 0
    p = design.shape[1]
    if np.count_nonzero(observed) < p or _rank(design[observed]) < p:
        return None
    # Centred and scaled columns: log N near 20 beside a column of ones would leave the system near singular.
    _, triangle = np.linalg.qr(design[observed])
    basis = np.linalg.inv(triangle) * np.sqrt(np.count_nonzero(observed))
    rows = design @ basis
    law = bend or _STRAIGHT
    settings = _settings(points, law, p)
    pull = 0.0 if bend is None else _PULL
    modes, information, values = _modes(rows, points, settings, law, pull)
    logs = values - 0.5 * pull * (modes**2).sum(axis=1) + settings.log_prior
    logs -= 0.5 * np.linalg.slogdet(information)[1]
    chance = np.exp(logs - logs.max())
    # Systematic resampling: every setting gets its share of the draws to within one.
    at = np.searchsorted(np.cumsum(chance / chance.sum()), (np.arange(_DRAWS) + rng.random()) / _DRAWS)
    at = rng.permutation(np.minimum(at, len(chance) - 1))
    noise = rng.standard_normal((_DRAWS, p))
    roots = np.linalg.inv(np.linalg.cholesky(information)).transpose(0, 2, 1)
    draws = modes[at] + np.einsum("dij,dj->di", roots[at], noise)
    if observed.all() and bend is None:
        weights = np.full(_DRAWS, 1 / _DRAWS)
    else:
        # Given the setting, the posterior is Gaussian but for censored groups and bends: importance weights mend that.
        fitted = law.curve(draws @ rows.T, settings.shape[at, None])[0]
        exact = log_likelihood(fitted, points, settings.spread[at]) - 0.5 * pull * (draws**2).sum(axis=1)
        log_weights = exact - (values[at] - 0.5 * pull * (modes[at] ** 2).sum(axis=1) - 0.5 * (noise**2).sum(axis=1))
        weights = np.exp(np.minimum(log_weights - np.quantile(log_weights, 0.99), 5.0))
        weights /= weights.sum()
    bad = np.array([float(weights[settings.bad[at] == group].sum()) for group in range(len(points.y))])
    return LawFit(
        basis @ (weights @ draws), float(values.max()), draws @ basis.T, settings.sigma[at], weights,
        settings.shape[at], law, bad,
    )  # fmt: skip


def _settings(points: Points, law: Bend, p: int) -> _Settings:
    """Return every sigma with every shape and every choice of the bad size: -1 for none.

    To doubt an observed size takes two observed more than parameters; one more, to doubt a bound.
    """
    spare = np.count_nonzero(points.side == 0) - p
    suspects = np.flatnonzero(((points.side == 0) & (spare >= 2)) | ((points.side > 0) & (spare >= 1)))
    grids = np.meshgrid(_SIGMAS, law.shapes, np.append(-1, suspects), indexing="ij")
    sigma, shape, bad = grids[0].ravel(), grids[1].ravel(), grids[2].ravel().astype(np.int64)
    log_prior = np.log(sigma) - np.log1p((sigma / SCATTER) ** 2)  # the grid is even in log sigma
    log_prior += np.where(bad < 0, np.log(1 - BAD), np.log(BAD / max(1, len(suspects))))
    is_bad = bad[:, None] == np.arange(len(points.y))
    spread = np.sqrt(sigma[:, None] ** 2 + points.sd**2 + BAD_SCATTER**2 * is_bad)
    return _Settings(sigma, shape, bad, spread, log_prior)


def _rank(design: Array) -> int:
    """Return the rank. Columns in step to a thousandth, as log N and log D at constant D/N, count once."""
    return int(np.linalg.matrix_rank(design / np.linalg.norm(design, axis=0), tol=1e-3))


def log_likelihood(fitted: Array, points: Points, spread: Array) -> Array:
    """Return the log-likelihood, (K,), of fitted values and spreads, (K, groups) each."""
    z = (points.y - fitted) / spread
    gauss = -0.5 * z**2 - np.log(spread) - 0.5 * np.log(2 * np.pi)
    return np.asarray(np.where(points.side == 0, gauss, log_ndtr(-points.side * z)).sum(axis=1), dtype=np.float64)


def _modes(
    rows: Array, points: Points, settings: _Settings, law: Bend, pull: float
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return the most likely beta at each setting, (K, p), the information there and the log-likelihood.

    Damped Newton for all settings at once; without a bend it is concave.
    """
    spread, side, p = settings.spread, points.side, rows.shape[1]
    observed = side == 0
    weight = np.where(observed, 1 / spread**2, 0.0)
    system = np.einsum("kg,gi,gj->kij", weight, rows, rows)
    beta = np.linalg.solve(system, np.einsum("kg,gi,g->ki", weight, rows, points.y)[..., None])[..., 0]

    def measure(beta: Array) -> tuple[Array, Array]:
        value = log_likelihood(law.curve(beta @ rows.T, settings.shape[:, None])[0], points, spread)
        return value, value - 0.5 * pull * (beta**2).sum(axis=1)

    value, objective = measure(beta)
    damping = np.full(len(beta), 1e-6)
    for _ in range(_ROUNDS):
        fitted, by_line = law.curve(beta @ rows.T, settings.shape[:, None])
        z = (points.y - fitted) / spread
        t = -side * z
        mills = np.exp(-0.5 * t**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(t))  # slope of log Phi at t
        slope = np.where(observed, z / spread, side * mills / spread) * by_line
        bend = np.where(observed, 1 / spread**2, mills * (mills + t) / spread**2) * by_line**2
        information = np.einsum("kg,gi,gj->kij", bend, rows, rows) + pull * np.eye(p)
        damped = information * (1 + damping[:, None, None] * np.eye(p))
        step = np.linalg.solve(damped, (slope @ rows - pull * beta)[..., None])[..., 0]
        tried_value, tried_objective = measure(beta + step)
        gain = tried_objective - objective
        better = gain > 0
        beta = np.where(better[:, None], beta + step, beta)
        value, objective = np.where(better, tried_value, value), np.where(better, tried_objective, objective)
        damping = np.where(better, damping * 0.2, np.minimum(damping * 8, 1e6))
        if (np.abs(gain) < 1e-7).all() or (~better & (damping >= 1e6)).all():
            break
    return beta, information, value
