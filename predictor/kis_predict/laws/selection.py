"""Several laws on the same sizes: which one predicts the largest size from the others, and how far they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_predict.laws.law_fit import LawFit, fit_law
from kis_predict.laws.nuisance_grid import Bend
from kis_predict.laws.points import Points
from kis_predict.protocols import BentLaw, Law

__all__ = ["Candidate", "Sizes", "fit_laws", "mixture", "quantile", "surprising", "weighed"]

Array = npt.NDArray[np.float64]

_TIE = 1.1
_FEWEST_TO_BEND = 5


@dataclass(frozen=True)
class Sizes:
    """Groups and target in the laws' variables.

    Attributes:
        params: N, (groups,).
        tokens: D, (groups,).
        target: N and D of the target.
    """

    params: Array
    tokens: Array
    target: tuple[float, float]


@dataclass(frozen=True)
class Candidate:
    """One law fitted.

    Attributes:
        law: The law.
        design: (groups, p)
        row: Of the target, (p,).
        bend: How the law leaves the straight line; None if it does not.
        fit: To all groups.
        weight: Akaike weight among the candidates.
        holdout: log(predicted / observed) at the largest observed size, fitted without it; None if it was not or cannot
            be.
    """

    law: Law
    design: Array
    row: Array
    bend: Bend | None
    fit: LawFit
    weight: float = 1.0
    holdout: float | None = None


def fit_laws(laws: Mapping[str, Law], sizes: Sizes, points: Points, seed: int) -> list[Candidate]:
    """Fit every law as ``weighed`` does, and leave out the largest observed size to judge it; the chosen one first.

    Chosen is the smallest held-out error; among those within 10 % of it, the greatest weight.
    """
    found = [
        replace(each, holdout=_holdout(each.design, points, sizes.params, seed, each.bend))
        for each in weighed(laws, sizes, points, seed)
    ]
    errors = [np.inf if each.holdout is None else abs(each.holdout) for each in found]
    close = [error <= _TIE * min(errors) + 1e-3 for error in errors]
    order = sorted(range(len(found)), key=lambda at: (not close[at], -found[at].weight if close[at] else errors[at]))
    return [found[at] for at in order]


def weighed(laws: Mapping[str, Law], sizes: Sizes, points: Points, seed: int) -> list[Candidate]:
    """Fit every law that has one observed size more than parameters, and weigh them by AICc.

    By AIC where the groups are too few for the correction. Laws that say the same of groups and target as an earlier
    one are left out. A law that bends takes part only with five observed sizes or more, and a smaller AICc than every
    straight one.
    """
    observed = int(np.count_nonzero(points.side == 0))
    found: list[Candidate] = []
    for law in laws.values():
        design, row = _design(law, sizes)
        bend = _bend(law, points)
        if observed <= design.shape[1] or (bend is not None and observed < _FEWEST_TO_BEND):
            continue
        fit = fit_law(design, points, np.random.default_rng(seed), bend)
        if fit is None:
            continue
        each = Candidate(law, design, row, bend, fit)
        if bend is not None or not any(_same(each, other) for other in found):
            found.append(each)
    told = [_criteria(each.fit, each.bend, len(points.y)) for each in found]
    straight = min((aicc for each, (_, aicc) in zip(found, told, strict=True) if each.bend is None), default=np.inf)
    kept = [at for at, each in enumerate(found) if each.bend is None or told[at][1] < straight]
    if not kept:
        return []
    aic, aicc = np.array([told[at] for at in kept]).T
    scores = aicc if np.isfinite(aicc).all() else aic
    weights = np.exp(-0.5 * (scores - scores.min()))
    weights /= weights.sum()
    return [replace(found[at], weight=float(weight)) for at, weight in zip(kept, weights, strict=True)]


def _criteria(fit: LawFit, bend: Bend | None, groups: int) -> tuple[float, float]:
    """Return AIC and AICc (Hurvich and Tsai 1989); sigma counts as a parameter, and so does what bends the law."""
    count = fit.beta.size + 1 + (bend is not None)
    aic = 2 * count - 2 * fit.log_likelihood
    left = groups - count - 1
    return aic, aic + 2 * count * (count + 1) / left if left > 0 else np.inf


def _bend(law: Law, points: Points) -> Bend | None:
    """Return how ``law`` bends; None for a straight one."""
    observed = points.y[points.side == 0]
    if not isinstance(law, BentLaw) or not len(observed):
        return None
    return Bend(np.asarray(law.shapes(observed), dtype=np.float64), law.bend)


def _design(law: Law, sizes: Sizes) -> tuple[Array, Array]:
    """Return the law's rows for the groups and for the target, refusing what a plugin must not give."""
    params, tokens = np.append(sizes.params, sizes.target[0]), np.append(sizes.tokens, sizes.target[1])
    rows = np.asarray(law.features(params, tokens), dtype=np.float64)
    expected = (len(params), len(law.parameters))
    if rows.shape != expected or not np.isfinite(rows).all():
        found = f"features of shape {rows.shape}" if rows.shape != expected else "features that are not finite"
        raise KISError(Problem(f"law {law.name!r}", found, f"finite ones of shape {expected}"))
    return rows[:-1], rows[-1]


def _same(one: Candidate, other: Candidate) -> bool:
    rows = [np.vstack([each.design, each.row]) @ each.fit.beta for each in (one, other)]
    return one.fit.beta.size == other.fit.beta.size and bool(np.abs(rows[0] - rows[1]).max() < 0.01)


def _holdout(design: Array, points: Points, params: Array, seed: int, bend: Bend | None) -> float | None:
    """Return the log error at the largest observed size; over several budgets there, the one of greatest magnitude."""
    observed = points.side == 0
    largest = observed & (params == params[observed].max())
    fit = fit_law(design[~largest], points.take(~largest), np.random.default_rng(seed), bend)
    if fit is None:
        return None
    errors = np.array([fit.at(row) for row in design[largest]]) - points.y[largest]
    return float(errors[np.argmax(np.abs(errors))])


def mixture(candidates: Sequence[Candidate], seed: int) -> tuple[Array, Array]:
    """Return draws of log F at the target over all laws and their weights, each (draws,): the laws' spread is in it."""
    rng = np.random.default_rng([seed, 1])
    draws = [candidate.fit.predict(candidate.row, rng) for candidate in candidates]
    return np.concatenate(draws), np.concatenate([c.weight * c.fit.weights for c in candidates])


def quantile(draws: Array, weights: Array, at: float) -> float:
    """Return a weighted quantile."""
    order = np.argsort(draws)
    cumulative = np.cumsum(weights[order])
    return float(draws[order][min(np.searchsorted(cumulative, at * cumulative[-1]), len(draws) - 1)])


def surprising(candidate: Candidate, points: Points, seed: int) -> list[int]:
    """Return the observed groups that the others, by this law, leave less than 1 % of probability to."""
    out = []
    for at in np.flatnonzero(points.side == 0):
        rest = np.arange(len(points.y)) != at
        rng = np.random.default_rng([seed, int(at)])
        fit = fit_law(candidate.design[rest], points.take(rest), rng, candidate.bend)
        if fit is None or np.count_nonzero(points.side[rest] == 0) <= candidate.row.size:
            continue
        draws = fit.predict(candidate.design[at], rng) + points.sd[at] * rng.standard_normal(len(fit.weights))
        below = float(fit.weights[draws < points.y[at]].sum())
        if min(below, 1 - below) < 0.005:
            out.append(int(at))
    return out
