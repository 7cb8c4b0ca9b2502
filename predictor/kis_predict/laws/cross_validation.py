"""How well laws foresee each size from the others: leave-one-out cross-validation, scored by log-probability."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import logsumexp

from kis_predict.laws.law_fit import LawFit
from kis_predict.laws.nuisance_grid import BAD, BAD_SCATTER
from kis_predict.laws.points import Points, log_likelihood
from kis_predict.laws.selection import Array, Sizes, weighed
from kis_predict.protocols import Law

__all__ = ["log_score"]


def log_score(laws: Mapping[str, Law], sizes: Sizes, points: Points, seed: int) -> float | None:
    """Return the log-probability of each group given all others, summed over those that can be left out.

    Each is given by the mixture of laws fitted to the others: a density at an observed group, the probability of lying
    beyond its bound at a censored one. That is the score of Vehtari, Gelman and Gabry (2017, Statistics and Computing
    27(5)); unlike an error at the largest size alone it hears what every size says, and how sure the laws were.

    Returns:
        Nats, or None where no group can be left out.
    """
    scores = [score for at in range(len(points.y)) if (score := _of_one(laws, sizes, points, at, seed)) is not None]
    return sum(scores) if scores else None


def _of_one(laws: Mapping[str, Law], sizes: Sizes, points: Points, at: int, seed: int) -> float | None:
    rest = np.arange(len(points.y)) != at
    there = (float(sizes.params[at]), float(sizes.tokens[at]))
    candidates = weighed(laws, Sizes(sizes.params[rest], sizes.tokens[rest], there), points.take(rest), seed)
    if not candidates:
        return None
    one = points.take(~rest)
    told = [_log_chance(each.fit, each.row, one, BAD / len(points.y)) for each in candidates]
    return float(logsumexp(told, b=[each.weight for each in candidates]))


def _log_chance(fit: LawFit, row: Array, one: Points, bad: float) -> float:
    """Return the log-probability that a law gives a group, itself the bad one with a prior probability of ``bad``."""
    line = fit.lines(row)[:, None]  # (draws, 1)
    kinds = []
    for chance, more in ((1 - bad, 0.0), (bad, BAD_SCATTER)):
        for reading, log_weight in ((one, 0.0), (one.other, one.log_weight)):
            if reading is not None and log_weight is not None:
                spread = np.sqrt(fit.sigmas[:, None] ** 2 + reading.sd**2 + more**2)  # (draws, 1)
                kinds.append(np.log(chance) + log_weight + log_likelihood(line, reading, spread))
    return float(logsumexp(logsumexp(kinds, axis=0), b=fit.weights))
