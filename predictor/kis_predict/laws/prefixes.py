"""How well a law predicts every prefix of sizes: fitted to the k smallest, it predicts the next one.

    score = sum over k of log p(y_{k+1} | y_1, ..., y_k)

The sum of sequential log-predictive densities is the log evidence of a law (Dawid 1984, J. R. Statist. Soc. A 147(2)),
but for its first sizes; it needs no count of parameters, as a law with too many of them predicts widely and loses
score. Unlike leave-one-out it measures what the target needs: extrapolation upwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from kis_predict.laws.law_fit import LawFit
from kis_predict.laws.nuisance_grid import BAD, BAD_SCATTER
from kis_predict.laws.points import Points, log_likelihood

__all__ = ["FEWEST_IN_PREFIX", "PrefixStep", "prefix_steps"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Fit = Callable[[Points, Mask], LawFit | None]

FEWEST_IN_PREFIX = 2
"""Sizes with an observed collapse that a prefix holds at least."""
DRAWS = 4000


@dataclass(frozen=True)
class PrefixStep:
    """A law fitted to some groups and held to others of greater size, or of other budgets at the same sizes.

    Attributes:
        params: N of the size predicted.
        sizes: Observed sizes in the prefix.
        log_score: Log density of what that size says, over all its budgets together.
        predicted: The law's log F_c there, a value for each group of the size; nan where the group is censored.
        observed: log F_c there, likewise.
        upward: Whether the size is greater than those of the prefix.
    """

    params: float
    sizes: int
    log_score: float
    predicted: Array
    observed: Array
    upward: bool = True


def prefix_steps(fit: Fit, design: Array, points: Points, params: Array) -> list[PrefixStep]:
    """Return a step for every size above the first ``FEWEST_IN_PREFIX`` observed ones, smallest first.

    Further budgets at those first sizes come before: they say how D matters, which a prefix of one budget does not.

    Args:
        fit: Fits the law to the groups of a mask; None where they do not determine it, which counts as no score.
        design: Rows of the law, (groups, p).
        points: What the groups say.
        params: N of each group.
    """
    observed = points.side == 0
    first = np.unique(params[observed])[:FEWEST_IN_PREFIX]
    if len(first) < FEWEST_IN_PREFIX:
        return []
    start = np.zeros(len(params), dtype=bool)
    for size in first:
        start[np.flatnonzero(observed & (params == size))[0]] = True
    steps = []
    again = (params <= first[-1]) & ~start
    if (again & observed).any():
        steps.append(_step(fit, design, points, params, start, again & observed, upward=False))
    for size in np.unique(params[params > first[-1]]):
        steps.append(_step(fit, design, points, params, params < size, params == size, upward=True))
    return steps


def _step(
    fit: Fit, design: Array, points: Points, params: Array, prefix: Mask, there: Mask, upward: bool
) -> PrefixStep:  # fmt: skip
    size, known = float(params[there].max()), len(np.unique(params[prefix & (points.side == 0)]))
    fitted = fit(points.take(prefix), prefix)
    if fitted is None:
        nothing = np.full(np.count_nonzero(there), np.nan)
        return PrefixStep(size, known, -np.inf, nothing, points.y[there], upward)
    density = np.zeros(len(fitted.sigmas))
    lines = []
    for at in np.flatnonzero(there):
        one = points.take(np.arange(len(params)) == at)
        # Summed draw by draw: two budgets of one size share the doubt about where its line lies.
        density += _log_density(fitted, design[at], one, BAD / len(params))
        lines.append(fitted.median(design[at]) if one.side[0] == 0 else np.nan)
    score = float(logsumexp(density, b=fitted.weights))
    return PrefixStep(size, known, score, np.array(lines), points.y[there], upward)


def _log_density(fit: LawFit, row: Array, one: Points, bad: float) -> Array:
    """Return the log density that each draw of a law gives a group, (draws,): a probability where it is censored.

    The group may itself be the bad one, with a prior probability of ``bad``, and may be read both ways.
    """
    line = fit.lines(row)[:, None]  # (draws, 1)
    kinds = []
    for chance, more in ((1 - bad, 0.0), (bad, BAD_SCATTER)):
        for reading, log_weight in ((one, 0.0), (one.other, one.log_weight)):
            if reading is not None and log_weight is not None:
                spread = np.sqrt(fit.sigmas[:, None] ** 2 + reading.sd**2 + more**2)  # (draws, 1)
                kinds.append(np.log(chance) + log_weight + log_likelihood(line, reading, spread))
    return np.asarray(logsumexp(kinds, axis=0), dtype=np.float64)
