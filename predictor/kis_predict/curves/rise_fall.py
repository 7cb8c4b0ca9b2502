"""The first estimator: the rise-fall curve, retention over log F as a rise times a fall above chance.

    p(x) = c + (1 - c) h S((x - s + g) / w_r + 2) [1 - d S((x - s) / w_f - 2)],   x = log F

c is chance, h the height that a rise alone would reach, d the depth of the fall: below 1, it ends above chance. S goes
from 0 to 1, hardly before -2 and hardly after 2, so that s is the onset of the fall and g the length of the plateau
between rise and fall; below 0, they overlap. The two widths are free, so the curve is asymmetric. ``SHAPES`` lists the
functions tried for S: the logistic function, the Weibull distribution in F (a fall that begins slowly and ends fast),
its mirror image, and ramps in log F whose corners are rounded or sharp. No curve family is the true one, so that the
collapse point of a size is averaged over all of them (``size_estimates``).

Fitted by Fisher scoring of the binomial likelihood with a Gaussian prior on the unbounded parameters, for many starts,
many sizes or many resampled data sets at once: a fit of one costs as many numpy calls as a fit of a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, xlogy

__all__ = ["DROP", "SHAPES", "Fits", "Prior", "critical_points", "curve", "fit", "information", "starts", "weak_prior"]

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

HEIGHT, PLATEAU, RISE_WIDTH, ONSET, FALL_WIDTH, DEPTH = range(6)
DROP = 0.05
"""The collapse point is where this part of the peak's height above chance is lost."""
_EDGE = 1e-6
_ROUNDS = 60
_GRID = 400
_CHUNK = 2_000_000  # problems x points worked on at a time: bounds the memory of a bootstrap over long sweeps


Step = Callable[[Array], tuple[Array, Array]]
"""S: takes z, returns S(z) and its slope."""
Chance = float | Array  # one floor, or (B, 1)


@dataclass(frozen=True)
class Shape:
    """The functions of one curve family.

    Attributes:
        rise: S of the rise.
        fall: S of the fall.
        peaked: Whether the fall sets in where the rise ends: no plateau.
        fall_width: Mean and standard deviation of the weak prior of log w_f.
    """

    rise: Step
    fall: Step
    peaked: bool = False
    fall_width: tuple[float, float] = (float(np.log(0.35)), 1.0)


def _logistic(z: Array) -> tuple[Array, Array]:
    value = expit(z)
    return value, value * (1 - value)


def _weibull(z: Array) -> tuple[Array, Array]:
    """1 - exp(-e^z): with z = k log(F / b), the Weibull distribution in F; begins slowly, ends fast."""
    rate = np.exp(np.minimum(z, 30.0))
    left = np.exp(-rate)
    return 1 - left, rate * left


def _frechet(z: Array) -> tuple[Array, Array]:
    """exp(-e^-z), the mirror image of the Weibull distribution: begins fast, ends slowly."""
    rate = np.exp(np.minimum(-z, 30.0))
    value = np.exp(-rate)
    return value, rate * value


def _ramp(z: Array, sharpness: float) -> tuple[Array, Array]:
    """Return a ramp from z = -2 to 2, of the logistic function's slope in the middle, and its slope."""
    left, right = sharpness * (z / 4 + 0.5), sharpness * (z / 4 - 0.5)
    value = (np.logaddexp(0, left) - np.logaddexp(0, right)) / sharpness
    return value, 0.25 * (expit(left) - expit(right))


def _rounded(z: Array) -> tuple[Array, Array]:
    """A ramp with rounded corners."""
    return _ramp(z, 10.0)


def _cornered(z: Array) -> tuple[Array, Array]:
    """A ramp with corners far sharper than any grid shows."""
    return _ramp(z, 120.0)


smooth, cornered, sharp = Shape(_logistic, _logistic), Shape(_rounded, _rounded), Shape(_cornered, _cornered)
SHAPES: Mapping[str, Shape] = {
    "smooth": smooth,
    "cornered": cornered,
    "sharp": sharp,
    "peaked": Shape(_cornered, _cornered, peaked=True),
    "weibull": Shape(_weibull, _weibull),
    "late": Shape(_frechet, _weibull),
    "early": Shape(_logistic, _frechet),
    "cliff": Shape(_cornered, _cornered, fall_width=(float(np.log(0.06)), 0.7)),
}


@dataclass(frozen=True)
class Prior:
    """Independent Gaussians on (logit h, g, log w_r, s, log w_f, logit d).

    Attributes:
        mean: (6,), or (B, 6) for one a fit.
        sd: Likewise.
    """

    mean: Array
    sd: Array

    def without_fall(self) -> Prior:
        """Return the prior of the rise alone: the same with the depth held at 0."""
        mean, sd = self.mean.copy(), self.sd.copy()
        mean[..., DEPTH], sd[..., DEPTH] = -16.0, 1e-3
        return Prior(mean, sd)


@dataclass(frozen=True)
class Fits:
    """B fits.

    Attributes:
        parameters: (B, 6), unbounded: logit h, g, log w_r, s, log w_f, logit d.
        deviance: (B,), twice the log-likelihood that a perfect curve would gain.
        objective: (B,), half the deviance plus the prior's penalty.
    """

    parameters: Array
    deviance: Array
    objective: Array

    def best(self, of: int = 1) -> Fits:
        """Return the fit with the smallest objective of each of ``of`` equal runs of starts: (of,) fits."""
        starts = len(self.objective) // of
        at = np.arange(of) * starts + self.objective.reshape(of, starts).argmin(axis=1)
        return Fits(self.parameters[at], self.deviance[at], self.objective[at])


def weak_prior(x: Array, shape: Shape | None = None) -> Prior:
    """Return a weak prior: it only bounds parameters that the points (M,) leave open.

    Widths of 0.5 and 0.35 nats within a factor of about 3, a fall of half the height or more, and its onset and the
    plateau within about the tested range; with a ``shape``, its own width of the fall and its kind of top.
    """
    width, width_sd = (shape or smooth).fall_width
    peaked = shape is not None and shape.peaked
    low, high = float(x.min()), float(x.max())
    span = max(high - low, 1.0)
    return Prior(
        mean=np.array([0.0, 0.0, np.log(0.5), low + 0.6 * span, width, 1.5]),
        sd=np.array([2.0, 0.03 if peaked else 0.5 * span, 1.0, 0.75 * span, width_sd, 1.5]),
    )


def starts(x: Array, mean: Array) -> Array:
    """Return starting points, (B, 6), near the prior ``mean``, (6,), that cover where the rise and the fall may lie.

    Args:
        x: log F, (M,).
        mean: Where the other parameters start.
    """
    low, high = float(x.min()), float(x.max())
    rise = low + (high - low) * np.array([0.0, 0.25, 0.5, 0.75])  # their middles
    fall = low + (high - low) * np.array([0.15, 0.35, 0.55, 0.75, 0.9, 1.05])
    rows = []
    for m_rise in rise:
        for m_fall in fall[fall > m_rise]:
            for width in (0.0, -1.0):
                row = mean.copy()
                row[FALL_WIDTH] += width
                row[ONSET] = m_fall - 2 * np.exp(row[FALL_WIDTH])
                row[PLATEAU] = row[ONSET] - m_rise - 2 * np.exp(row[RISE_WIDTH])
                rows.append(row)
    return np.array(rows)


def curve(parameters: Array, x: Array, chance: Chance, shape: Shape) -> Array:
    """Return the retention of each of ``parameters``, (B, 6), at each of ``x``, (M,) or (B, M), as (B, M)."""
    return _curve_and_slopes(parameters, x, chance, shape, slopes=False)[0]


def _curve_and_slopes(u: Array, x: Array, chance: Chance, shape: Shape, slopes: bool = True) -> tuple[Array, Array]:
    """Return the curve, (B, M), and its derivatives, (B, M, 6), by the unbounded parameters."""
    height, depth = expit(u[:, HEIGHT, None]), expit(u[:, DEPTH, None])
    w_rise, w_fall = np.exp(u[:, RISE_WIDTH, None]), np.exp(u[:, FALL_WIDTH, None])
    beyond = x - u[:, ONSET, None]
    z_rise, z_fall = (beyond + u[:, PLATEAU, None]) / w_rise, beyond / w_fall
    (rise, rise_slope), (fall, fall_slope) = shape.rise(z_rise + 2), shape.fall(z_fall - 2)
    kept = 1 - depth * fall
    gain = (1 - chance) * height
    value = np.clip(chance + gain * rise * kept, _EDGE, 1 - _EDGE)
    if not slopes:
        return value, value
    by_rise = gain * rise_slope * kept
    by_fall = -gain * rise * depth * fall_slope
    jacobian = np.stack(
        [
            gain * rise * kept * (1 - height),
            by_rise / w_rise,
            -by_rise * z_rise,
            -by_rise / w_rise - by_fall / w_fall,
            -by_fall * z_fall,
            -gain * rise * fall * depth * (1 - depth),
        ],
        axis=-1,
    )  # (B, M, 6)
    return value, jacobian


def _deviance(retention: Array, p: Array, n: Array) -> Array:
    """Return the binomial deviance, (B,), of retention (B, M) from p (B, M) with n (M,) probes a point."""
    gap = xlogy(retention, retention / p) + xlogy(1 - retention, (1 - retention) / (1 - p))
    return np.asarray(2 * (n * gap).sum(axis=-1), dtype=np.float64)


def fit(x: Array, retention: Array, n: Array, chance: Chance, shape: Shape, start: Array, prior: Prior) -> Fits:
    """Fit the curve to B data sets, or from B starts.

    Args:
        x: log F, (M,), or (B, M) where the fits are of several sizes.
        retention: Likewise.
        n: Effective number of probes behind each point, likewise; 0 where a size has fewer points than the others.
        chance: The floor c, or (B, 1).
        shape: S.
        start: (B, 6) unbounded parameters.
        prior: Holds the parameters that the points do not determine.
    """
    count, points = len(start), x.shape[-1]
    tables = [np.broadcast_to(table, (count, points)) for table in (x, retention, n)]
    floor = np.broadcast_to(chance, (count, 1))
    mean, pull = np.broadcast_to(prior.mean, (count, 6)), np.broadcast_to(1 / prior.sd**2, (count, 6))
    size = max(1, _CHUNK // (6 * points))
    parts = []
    for at in range(0, count, size):
        rows = slice(at, at + size)
        log_f, data, probes = (table[rows] for table in tables)
        parts.append(_fit(log_f, data, probes, floor[rows], start[rows], mean[rows], pull[rows], shape))
    return Fits(*(np.concatenate([getattr(part, name) for part in parts]) for name in Fits.__annotations__))


def _fit(
    x: Array, data: Array, n: Array, chance: Array, start: Array, mean: Array, pull: Array, shape: Shape
) -> Fits:  # fmt: skip
    """Fit one chunk: x, data and n (B, M), chance (B, 1), start, mean and pull (B, 6)."""

    def measure(u: Array, rows: Rows) -> tuple[Array, Array]:
        deviance = _deviance(data[rows], curve(u, x[rows], chance[rows], shape), n[rows])
        return deviance, 0.5 * deviance + 0.5 * (pull[rows] * (u - mean[rows]) ** 2).sum(axis=-1)

    u = start.copy()
    damping = np.full(len(u), 1e-2)
    active = np.arange(len(u))
    deviance, objective = measure(u, active)
    for _ in range(_ROUNDS):
        p, jacobian = _curve_and_slopes(u[active], x[active], chance[active], shape)
        # Fisher scoring: the expected Hessian, J' W J, is positive definite where the observed one need not be.
        weight = n[active] / (p * (1 - p))  # (B, M): Fisher information of a point
        weighted = (jacobian * weight[..., None]).transpose(0, 2, 1)
        system = weighted @ jacobian  # (B, 6, 6)
        gradient = weighted @ (data[active] - p)[..., None] - (pull[active] * (u[active] - mean[active]))[..., None]
        at = np.arange(6)
        # Levenberg-Marquardt: damping grows where a step fails, and the step is clipped so that none leaves the range.
        system[:, at, at] = (system[:, at, at] + pull[active]) * (1 + damping[active, None])
        tried = u[active] + np.clip(np.linalg.solve(system, gradient)[..., 0], -1.5, 1.5)
        tried_deviance, tried_objective = measure(tried, active)
        gain = objective[active] - tried_objective
        better = gain > 0
        took = active[better]
        u[took], deviance[took], objective[took] = tried[better], tried_deviance[better], tried_objective[better]
        damping[active] = np.where(better, damping[active] * 0.2, damping[active] * 6.0)
        done = (better & (gain < 1e-5)) | (damping[active] > 1e6)
        active = active[~done]
        if not len(active):
            break
    return Fits(u, deviance, objective)


def information(parameters: Array, x: Array, n: Array, chance: Chance, shape: Shape) -> Array:
    """Return what the points, (M,) or (B, M), say of the parameters (B, 6): the Fisher information, (B, 6, 6)."""
    p, jacobian = _curve_and_slopes(parameters, x, chance, shape)
    weighted = jacobian * (n / (p * (1 - p)))[..., None]
    return np.asarray(weighted.transpose(0, 2, 1) @ jacobian, dtype=np.float64)


def critical_points(parameters: Array, x: Array, chance: float, shape: Shape) -> tuple[Array, Array, Array]:
    """Return log F_opt, log F_c and the retention at the peak, each (B,).

    The peak is sought inside the tested range. F_c is the lowest F beyond it where ``DROP`` of the peak's height above
    chance is lost, sought up to half a decade past the range; inf where the curve does not fall that far by then.
    """
    low, high = float(x.min()), float(x.max())
    points = _GRID
    grid = np.linspace(low, high + np.log(10) / 2, points)
    value = curve(parameters, grid, chance, shape)  # (B, points)
    inside = grid <= high + 1e-9
    at = np.argmax(np.where(inside, value, -1.0), axis=1)
    rows = np.arange(len(parameters))
    peak = value[rows, at]
    level = peak - DROP * (peak - chance)
    # The first grid point below the level beyond the peak, then linear interpolation between it and the one before.
    fallen = (value < level[:, None]) & (np.arange(points) > at[:, None])
    first = np.argmax(fallen, axis=1)
    before, after = value[rows, np.maximum(first - 1, 0)], value[rows, first]
    part = np.divide(before - level, before - after, out=np.zeros_like(level), where=before > after)
    collapse = np.where(fallen.any(axis=1), grid[first] - (1 - part) * (grid[1] - grid[0]), np.inf)
    return grid[at], collapse, peak
