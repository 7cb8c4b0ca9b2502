"""Across sizes: a law through the estimates of all sizes, and what it predicts at the target with all its doubt.

    y_g = f(x_g beta) + e_g,    e_g ~ N(0, sigma^2 + s_g^2)

y_g is log F_c of group g, x_g its row of the law's design, s_g its standard error from the bootstrap, sigma the law's
own scatter; f is the identity but for laws that bend. Censored groups enter by the probability that y_g lies beyond
their bound (Tobin 1958). beta has a flat prior, but for a weak one on the exponent of N; its sign is free. sigma has a
half-Cauchy prior (Gelman 2006, Bayesian Analysis 1(3)), and both are integrated out: with few sizes the prediction gets
the heavy tails of Student's t instead of pretending that the scatter is known. One size may be bad: with a prior
probability of one in ten its e_g is far wider (a contaminated normal, Tukey 1960), so that it hardly counts once the
others contradict it. A size without a collapse may be the bad one too; one that collapsed before its first frequency
may not, as letting it off would raise what is recommended on no evidence. A group whose own runs leave open whether it
collapsed enters as a collapse and as a bound, each with its likelihood, so that the other groups help to decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from kis_predict.laws.nuisance_grid import FREE, Bend, NuisanceGrid, Shrinkage, nuisance_grid, rank
from kis_predict.laws.points import Points, log_likelihood

__all__ = ["DRAWS", "LawFit", "fit_law"]

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

DRAWS = 20_000
_ROUNDS = 60
_USUAL_ERROR = 0.1  # of a size, nats: scales the prior beside the data in the choice of coordinates only
_PULL = 0.01  # of laws that bend: a Gaussian of 10 nats on each coordinate, where the data leave one free


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

    def median(self, row: Array) -> float:
        """Return the posterior median of the law's value at a design row (p,): of few sizes the mean runs away."""
        lines = self.lines(row)
        order = np.argsort(lines)
        return float(lines[order][np.searchsorted(np.cumsum(self.weights[order]), 0.5)])

    def predict(self, row: Array, rng: np.random.Generator) -> Array:
        """Return draws, (draws,), of log F_c at a design row (p,): the law's line plus its own scatter."""
        centre = self.lines(row)
        return np.asarray(centre + self.sigmas * rng.standard_normal(len(centre)), dtype=np.float64)


def fit_law(
    design: Array, points: Points, rng: np.random.Generator, bend: Bend | None = None, shrinkage: Shrinkage = FREE,
    count: int = DRAWS,
) -> LawFit | None:  # fmt: skip
    """Fit a law, or return None where the observed groups do not determine its parameters.

    Args:
        design: (groups, p), all groups.
        points: What each says.
        rng: For the draws.
        bend: Of a law that is not linear on the log scale.
        shrinkage: Prior of the parameters that have one; the others are free.
        count: How many draws.
    """
    observed = points.side == 0
    p = design.shape[1]
    free = np.delete(design[observed], shrinkage.at, axis=1)
    if len(free) < free.shape[1] or rank(free) < free.shape[1]:
        return None
    # Centred and scaled columns: log N near 20 beside a column of ones would leave the system near singular.
    # The prior enters as rows of its own: without them, the data alone need not determine what is shrunk.
    prior_rows = _USUAL_ERROR * np.eye(p)[shrinkage.at] / shrinkage.sd.max(axis=0)[:, None]
    _, triangle = np.linalg.qr(np.vstack([design[observed], prior_rows]))
    basis = np.linalg.inv(triangle) * np.sqrt(np.count_nonzero(observed))
    rows = design @ basis
    law = bend or _STRAIGHT
    grid = nuisance_grid(points, law, design, shrinkage)
    pull = _pull(basis, shrinkage, grid, 0.0 if bend is None else _PULL)
    modes, information, values = _modes(rows, grid, law, pull)
    # Laplace: the weight of each setting is its likelihood times prior, beta integrated out.
    every = np.arange(len(modes))
    logs = grid.log_read + values - pull.penalty(modes, every) + grid.log_prior
    logs -= 0.5 * np.linalg.slogdet(information)[1]
    chance = np.exp(logs - logs.max())
    # Systematic resampling: every setting gets its share of the draws to within one.
    at = np.searchsorted(np.cumsum(chance / chance.sum()), (np.arange(count) + rng.random()) / count)
    at = rng.permutation(np.minimum(at, len(chance) - 1))
    noise = rng.standard_normal((count, p))
    roots = np.linalg.inv(np.linalg.cholesky(information)).transpose(0, 2, 1)
    draws = modes[at] + np.einsum("dij,dj->di", roots[at], noise)
    if not grid.points.side.any() and bend is None:
        weights = np.full(count, 1 / count)
    else:
        # Given the setting, the posterior is Gaussian but for censored groups and bends: importance weights mend that.
        fitted = law.curve(draws @ rows.T, grid.shape[at, None])[0]
        exact = log_likelihood(fitted, grid.points.take(at), grid.spread[at]) - pull.penalty(draws, at)
        log_weights = exact - (values[at] - pull.penalty(modes[at], at) - 0.5 * (noise**2).sum(axis=1))
        weights = np.exp(np.minimum(log_weights - np.quantile(log_weights, 0.99), 5.0))
        weights /= weights.sum()
    bad = np.array([float(weights[grid.bad[at] == group].sum()) for group in range(len(points.y))])
    best = float((grid.log_read + values).max())
    return LawFit(basis @ (weights @ draws), best, draws @ basis.T, grid.sigma[at], weights, grid.shape[at], law, bad)


@dataclass(frozen=True)
class _Pull:
    """The Gaussian prior of beta at each setting, in the coordinates of the fit: 0.5 b'Pb - h'b plus a constant.

    Attributes:
        precision: P, (K, p, p).
        linear: h, (K, p).
        constant: (K,)
    """

    precision: Array
    linear: Array
    constant: Array

    def penalty(self, beta: Array, at: Rows) -> Array:
        """Return minus the log prior, up to its norm, of each of ``beta`` at the settings ``at``, (len(at),)."""
        quadratic = 0.5 * np.einsum("ki,kij,kj->k", beta, self.precision[at], beta)
        return np.asarray(quadratic - (self.linear[at] * beta).sum(axis=1) + self.constant[at], dtype=np.float64)


def _pull(basis: Array, shrinkage: Shrinkage, grid: NuisanceGrid, ridge: float) -> _Pull:
    """Return the prior in the coordinates of ``basis``, with a ``ridge`` that keeps bent laws from running away."""
    p = len(basis)
    weight = shrinkage.precision(p)  # (widths, p), in the law's own parameters
    mean = np.zeros(p)
    mean[shrinkage.at] = shrinkage.mean
    precision = np.einsum("ai,wa,aj->wij", basis, weight, basis) + ridge * np.eye(p)
    if shrinkage.slope is not None:
        slope = shrinkage.slope @ basis
        precision = precision + np.outer(slope, slope)
    linear = (weight * mean) @ basis
    constant = 0.5 * (weight * mean**2).sum(axis=1)
    return _Pull(precision[grid.width], linear[grid.width], constant[grid.width])


def _modes(
    rows: Array, grid: NuisanceGrid, law: Bend, pull: _Pull
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Return the most likely beta at each setting, (K, p), the information there and the log-likelihood.

    Damped Newton for all grid at once; without a bend it is concave.
    """
    points, spread, p = grid.points, grid.spread, rows.shape[1]
    side = points.side
    observed = side == 0
    weight = np.where(observed, 1 / spread**2, 0.0)
    system = np.einsum("kg,gi,gj->kij", weight, rows, rows) + pull.precision
    right = np.einsum("kg,gi,kg->ki", weight, rows, points.y) + pull.linear
    beta = np.linalg.solve(system, right[..., None])[..., 0]

    def measure(beta: Array, at: Rows) -> tuple[Array, Array]:
        fitted = law.curve(beta @ rows.T, grid.shape[at, None])[0]
        value = log_likelihood(fitted, points.take(at), spread[at])
        return value, value - pull.penalty(beta, at)

    active = np.arange(len(beta))
    value, objective = measure(beta, active)
    damping = np.full(len(beta), 1e-6)
    information = np.zeros((len(beta), p, p))
    for _ in range(_ROUNDS):
        now, wide, sides = beta[active], spread[active], side[active]
        fitted, by_line = law.curve(now @ rows.T, grid.shape[active, None])
        z = (points.y[active] - fitted) / wide
        # Censored groups: the derivatives of log Phi(t), by the inverse Mills ratio.
        t = -sides * z
        mills = np.exp(-0.5 * t**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(t))  # slope of log Phi at t
        slope = np.where(sides == 0, z / wide, sides * mills / wide) * by_line
        bend = np.where(sides == 0, 1 / wide**2, mills * (mills + t) / wide**2) * by_line**2
        hessian = np.einsum("kg,gi,gj->kij", bend, rows, rows) + pull.precision[active]
        information[active] = hessian
        gradient = slope @ rows - np.einsum("kij,kj->ki", pull.precision[active], now) + pull.linear[active]
        damped = hessian * (1 + damping[active, None, None] * np.eye(p))
        tried = now + np.linalg.solve(damped, gradient[..., None])[..., 0]
        tried_value, tried_objective = measure(tried, active)
        gain = tried_objective - objective[active]
        better = gain > 0
        took = active[better]
        beta[took], value[took], objective[took] = tried[better], tried_value[better], tried_objective[better]
        damping[active] = np.where(better, damping[active] * 0.2, np.minimum(damping[active] * 8, 1e6))
        active = active[~(np.abs(gain) < 1e-7) & (better | (damping[active] < 1e6))]
        if not len(active):
            break
    return beta, information, value
