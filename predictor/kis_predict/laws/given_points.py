"""Laws through critical points that are given: published ones, or those of one's own estimates, instead of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kis_plugin.errors import KISError, Problem
from kis_predict.laws.points import Points
from kis_predict.laws.refusal import prefix_errors
from kis_predict.laws.selection import Candidate, Sizes, fit_laws, mixture, quantile
from kis_predict.prediction import PrefixError
from kis_predict.protocols import Law

__all__ = ["FEWEST_POINTS", "CriticalPoint", "PointsAnswer", "fit_points"]

FEWEST_POINTS = 3
_LEAST_SD = 0.005


@dataclass(frozen=True)
class CriticalPoint:
    """One critical amount, in whatever unit all points share: exposures, a share of D, a ratio.

    Attributes:
        params: N.
        amount: The critical amount, greater than 0.
        sd: Its standard error in the same unit; 0 where unknown: the law's own scatter then stands for it.
        tokens: D; None where D is not given, which then follows N.
    """

    params: float
    amount: float
    sd: float = 0.0
    tokens: float | None = None


@dataclass(frozen=True)
class PointsAnswer:
    """What laws through given points say at the target.

    Attributes:
        amount: Median, in the points' unit.
        low: Its interval.
        high: Its interval.
        at_risk: The amount below which the critical one lies with the probability ``risk``.
        candidates: The laws, the likeliest first.
        prefix_errors: Predictions of each larger size from the smaller ones.
        extrapolation: N of the target by the largest N.
    """

    amount: float
    low: float
    high: float
    at_risk: float
    candidates: tuple[Candidate, ...]
    prefix_errors: tuple[PrefixError, ...]
    extrapolation: float


def fit_points(
    points: Sequence[CriticalPoint], target: tuple[float, float | None], laws: Mapping[str, Law],
    confidence: float = 0.9, risk: float = 0.05, seed: int = 0,
) -> PointsAnswer:  # fmt: skip
    """Fit and mix the laws through ``points`` as through those of a sweep.

    Args:
        points: Three sizes or more.
        target: N, and D where the points give theirs.
        laws: By name.
        confidence: Of the central interval.
        risk: Probability for ``at_risk``.
        seed: Of the draws.

    Raises:
        KISError: Too few sizes, D given for some points only or not for the target, or no law that the points settle.
    """
    order = sorted(points, key=lambda point: (point.params, point.tokens or 0.0))
    sizes = {point.params for point in order}
    if len(sizes) < FEWEST_POINTS:
        raise KISError(Problem("points", f"{len(sizes)} sizes", f"{FEWEST_POINTS} sizes or more"))
    given = [point.tokens is not None for point in order]
    if any(given) and not all(given):
        raise KISError(Problem("points", f"D at {sum(given)} of {len(given)} points", "D at all points or at none"))
    if all(given) and target[1] is None:
        raise KISError(Problem("points", "D at the points and none at the target", "the target's D", "Name --tokens."))
    n = np.array([point.params for point in order], dtype=np.float64)
    d = n if not all(given) else np.array([point.tokens for point in order], dtype=np.float64)
    amount = np.array([point.amount for point in order], dtype=np.float64)
    sd = np.maximum([point.sd for point in order] / amount, _LEAST_SD)  # of the logarithm
    data = Points(np.log(amount), sd, np.zeros(len(n), dtype=np.int64))
    where = Sizes(n, d, (float(target[0]), float(target[1] if all(given) and target[1] else target[0])))
    candidates = fit_laws(laws, where, data, seed)
    if not candidates:
        raise KISError(Problem("laws", ", ".join(laws) or "none", "one that the points can settle"))
    draws, weights = mixture(candidates, seed)
    tail = (1 - confidence) / 2
    low, middle, high, at_risk = (float(np.exp(quantile(draws, weights, q))) for q in (tail, 0.5, 1 - tail, risk))
    errors = prefix_errors(candidates, sorted(sizes))
    return PointsAnswer(middle, low, high, at_risk, tuple(candidates), errors, float(target[0] / n.max()))
