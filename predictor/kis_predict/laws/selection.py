"""Several laws on the same sizes: each fitted, and weighed by how it predicts every prefix of sizes.

Laws are fitted in exposures per fact and in the share of D, and all of them enter the prediction with their weights:
prior weight times the exponential of the prefix score. Where the evidence does not decide, the answer is a mixture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_predict.laws import nuisance_grid
from kis_predict.laws.law_fit import LawFit, fit_law
from kis_predict.laws.nuisance_grid import FREE, Bend, Shrinkage
from kis_predict.laws.points import Points
from kis_predict.laws.prefixes import DRAWS, PrefixStep, prefix_steps
from kis_predict.protocols import AxisLaw, BentLaw, BudgetedLaw, CautiousLaw, Law, ShrunkLaw, WeightedLaw

__all__ = ["Axis", "Candidate", "Sizes", "Unit", "at_risk", "fit_laws", "mixture", "quantile", "surprising"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Axis = Literal["frequency", "share"]

_DEFAULT_WEIGHT = 0.25
"""Prior weight of a law that names none, as those of plugins may."""
_SECOND_BUDGET = 0.05
"""How far log D must be from a power of N at some size for D to have an exponent of its own."""
_NEGLIGIBLE = 1e-4
"""Weight below which a law is dropped from the mixture."""


@dataclass(frozen=True)
class Unit:
    """In what a law's amounts are: log F plus ``at_groups``, (groups,), and plus ``at_target``."""

    at_groups: Array
    at_target: float


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
    """One law fitted on one axis.

    Attributes:
        law: The law.
        axis: In what: exposures per fact, or the share of D.
        unit: The same as numbers.
        design: (groups, p)
        row: Of the target, (p,).
        bend: How the law leaves the straight line; None if it does not.
        shrinkage: The prior of those of its parameters that have one.
        fit: To all groups.
        prior: Its weight before any size is predicted.
        steps: Its predictions of every prefix of sizes.
        weight: Its weight in the mixture.
    """

    law: Law
    axis: Axis
    unit: Unit
    design: Array
    row: Array
    bend: Bend | None
    shrinkage: Shrinkage
    fit: LawFit
    prior: float
    steps: tuple[PrefixStep, ...] = ()
    weight: float = 1.0

    @property
    def name(self) -> str:
        """The law's name, with the axis where that is not plain."""
        return self.law.name + (" (share)" if self.axis == "share" and self.law.name != "share" else "")

    @property
    def holdout(self) -> float | None:
        """log(predicted / observed) at the largest observed size, fitted to the smaller ones; None without one."""
        # Steps towards larger sizes only: those are what the prediction of the target is like.
        errors = [step.predicted - step.observed for step in self.steps if step.upward]
        known = [error[np.isfinite(error)] for error in errors if np.isfinite(error).any()]
        return float(known[-1][np.argmax(np.abs(known[-1]))]) if known else None

    def at_target(self) -> float:
        """Return the law's own log F at the target: the posterior median."""
        return self.fit.median(self.row) - self.unit.at_target


def fit_laws(
    laws: Mapping[str, Law], sizes: Sizes, points: Points, seed: int, units: Mapping[Axis, Unit] | None = None
) -> list[Candidate]:  # fmt: skip
    """Fit every law on every axis and weigh them; the one with the greatest weight first.

    Laws that say the same of groups and target as an earlier one are merged with it: their prior weights add up.

    Args:
        laws: By name.
        sizes: Groups and target.
        points: log F_c of the groups.
        seed: Of the draws.
        units: The axes to fit on; exposures alone where None.
    """
    units = units or {"frequency": Unit(np.zeros(len(points.y)), 0.0)}
    found: list[Candidate] = []
    for each in _candidates(laws, sizes, points, seed, units):
        # Two names for one hypothesis must not count twice: in a sweep with one rule of D, for instance, a power of N
        # in exposures is a power of N in the share.
        twin = next((at for at, other in enumerate(found) if _same(each, other, points)), None)
        if twin is None:
            found.append(each)
        else:
            found[twin] = replace(found[twin], prior=found[twin].prior + each.prior)
    if not found:
        return []
    found = [replace(each, steps=tuple(_steps(each, points, sizes.params, seed))) for each in found]
    # log weight = log prior + sum of log predictive densities over the prefixes of sizes (prequential, Dawid 1984).
    scores = np.array([np.log(each.prior) + sum(step.log_score for step in each.steps) for each in found])
    # Softmax; the greatest score is subtracted first, so that nothing overflows. Without any prefix the prior decides.
    weights = np.exp(scores - scores.max()) if np.isfinite(scores.max()) else np.array([each.prior for each in found])
    weights /= weights.sum()
    kept = [replace(each, weight=float(w)) for each, w in zip(found, weights, strict=True) if w >= _NEGLIGIBLE]
    total = sum(each.weight for each in kept)
    return sorted((replace(each, weight=each.weight / total) for each in kept), key=lambda each: -each.weight)


def _candidates(
    laws: Mapping[str, Law], sizes: Sizes, points: Points, seed: int, units: Mapping[Axis, Unit]
) -> Iterator[Candidate]:  # fmt: skip
    """Yield every law on every axis that the observed groups can settle, fitted to all groups."""
    observed = points.side == 0
    for law in laws.values():
        only = law.axis if isinstance(law, AxisLaw) else None
        axes = [axis for axis in units if only in (None, axis)]
        if isinstance(law, BudgetedLaw) and not _budgets_differ(sizes, observed):
            continue
        design, row = _design(law, sizes)
        shrinkage = _shrinkage(law, sizes)
        for axis in axes:
            # From log F to the axis's own amounts.
            shifted = points.shifted(units[axis].at_groups)
            bend = _bend(law, shifted)
            # A parameter with a prior needs no group of its own: at least one group more than free parameters.
            if np.count_nonzero(observed) <= design.shape[1] - len(shrinkage.at):
                continue
            fit = fit_law(design, shifted, np.random.default_rng(seed), bend, shrinkage)
            if fit is not None:
                prior = law.prior_weight if isinstance(law, WeightedLaw) else _DEFAULT_WEIGHT
                yield Candidate(law, axis, units[axis], design, row, bend, shrinkage, fit, prior / len(axes))


def _budgets_differ(sizes: Sizes, observed: npt.NDArray[np.bool_]) -> bool:
    """Return whether D says more than a power of N does, at the observed groups: two budgets at some size."""
    n, d = np.log(sizes.params[observed]), np.log(sizes.tokens[observed])
    if len(n) < 4 or len(np.unique(n)) < 2:
        return False
    # What is left of log D after its best power of N; with one budget at each size nothing is, and D and N have one
    # effect.
    slope, level = np.polyfit(n, d, 1)
    return bool(np.abs(level + slope * n - d).max() > _SECOND_BUDGET)


def _steps(each: Candidate, points: Points, params: Array, seed: int) -> list[PrefixStep]:
    shifted = points.shifted(each.unit.at_groups)

    def fit(some: Points, mask: npt.NDArray[np.bool_]) -> LawFit | None:
        # What bends the law is tried over a range about what this prefix has seen: never what lies beyond it.
        bend = _bend(each.law, some)
        return fit_law(each.design[mask], some, np.random.default_rng(seed), bend, each.shrinkage, DRAWS)

    return prefix_steps(fit, each.design, shifted, params)


def _shrinkage(law: Law, sizes: Sizes) -> Shrinkage:
    """Return the prior of a law's exponent of N, and of the parameters that it has a mapping for."""
    middle = np.log(sizes.params).mean()
    tokens = np.full(2, np.exp(np.log(sizes.tokens).mean()))
    slope = np.diff(_rows(law, np.exp(middle + np.array([-0.5, 0.5])), tokens), axis=0)[0]
    slope = slope / nuisance_grid.EXPONENT
    if not isinstance(law, ShrunkLaw):
        return replace(FREE, slope=slope)
    prior = law.prior
    names = list(law.parameters)
    # Every combination of the widths of all priors, (combinations, priors): the grid that the fit sums over.
    widths = np.array(np.meshgrid(*(np.asarray(sds) for _, sds in prior.values()), indexing="ij"))
    at = np.array([names.index(name) for name in prior])
    return Shrinkage(at, np.array([mean for mean, _ in prior.values()]), widths.reshape(len(at), -1).T, slope)


def _bend(law: Law, points: Points) -> Bend | None:
    """Return how ``law`` bends; None for a straight one."""
    observed = points.y[points.side == 0]
    if not isinstance(law, BentLaw) or not len(observed):
        return None
    return Bend(np.asarray(law.shapes(observed), dtype=np.float64), law.bend)


def _design(law: Law, sizes: Sizes) -> tuple[Array, Array]:
    """Return the law's rows for the groups and for the target, refusing what a plugin must not give."""
    rows = _rows(law, np.append(sizes.params, sizes.target[0]), np.append(sizes.tokens, sizes.target[1]))
    return rows[:-1], rows[-1]


def _rows(law: Law, params: Array, tokens: Array) -> Array:
    rows = np.asarray(law.features(params, tokens), dtype=np.float64)
    expected = (len(params), len(law.parameters))
    if rows.shape != expected or not np.isfinite(rows).all():
        found = f"features of shape {rows.shape}" if rows.shape != expected else "features that are not finite"
        raise KISError(Problem(f"law {law.name!r}", found, f"finite ones of shape {expected}"))
    return rows


def _same(one: Candidate, other: Candidate, points: Points) -> bool:
    """Return whether two candidates are one hypothesis: as many parameters, and the same values everywhere."""
    if one.fit.beta.size != other.fit.beta.size or (one.bend is None) != (other.bend is None):
        return False
    if one.bend is not None and one.law.name != other.law.name:
        return False
    # Compared at the groups and at the target, in log F: so the axes' offsets are taken off again.
    values = [
        np.append([each.fit.at(row) for row in each.design] - each.unit.at_groups, each.at_target())
        for each in (one, other)
    ]
    return bool(np.abs(values[0] - values[1]).max() < 0.02)


def mixture(candidates: Sequence[Candidate], seed: int) -> tuple[Array, Array]:
    """Return draws of log F at the target over all laws and their weights, each (draws,): the laws' spread is in it."""
    rng = np.random.default_rng([seed, 1])
    # Draws in the axis's amounts, back to log F; a draw weighs its own weight times that of its law.
    draws = [each.fit.predict(each.row, rng) - each.unit.at_target for each in candidates]
    return np.concatenate(draws), np.concatenate([each.weight * each.fit.weights for each in candidates])


def quantile(draws: Array, weights: Array, at: float) -> float:
    """Return a weighted quantile."""
    order = np.argsort(draws)
    cumulative = np.cumsum(weights[order])
    return float(draws[order][min(np.searchsorted(cumulative, at * cumulative[-1]), len(draws) - 1)])


def at_risk(
    candidates: Sequence[Candidate], draws: Array, weights: Array, risk: float, some: Mask | None = None,
    cautious: bool = True,
) -> float:  # fmt: skip
    """Return the value that draws of the mixture lie below with the probability ``risk`` at most.

    Whether laws bend is in doubt, and that doubt is on the safe side: the risk is kept both by the weights of the laws
    and where those that may bend without end count for more (``CautiousLaw``).

    Args:
        candidates: The laws, in the order of the draws.
        draws: Of all of them, (draws,).
        weights: Theirs.
        risk: The probability.
        some: Which draws to take, (draws,); all where None.
        cautious: Whether such laws count for more; else the quantile is that of the weights alone.
    """
    factors = [each.law.caution if cautious and isinstance(each.law, CautiousLaw) else 1.0 for each in candidates]
    more = weights * np.repeat(factors, [len(each.fit.weights) for each in candidates])
    taken: slice | Mask = slice(None) if some is None else some
    return min(quantile(draws[taken], of[taken], risk) for of in (weights, more))


def surprising(candidate: Candidate, points: Points, seed: int) -> list[int]:
    """Return the observed groups that the others, by this law, leave less than 1 % of probability to."""
    out = []
    shifted = points.shifted(candidate.unit.at_groups)
    for at in np.flatnonzero(points.side == 0):
        # Leave one out: a group that is fitted along with the rest hides its own deviation.
        rest = np.arange(len(points.y)) != at
        rng = np.random.default_rng([seed, int(at)])
        fit = fit_law(candidate.design[rest], shifted.take(rest), rng, candidate.bend, candidate.shrinkage)
        if fit is None or np.count_nonzero(points.side[rest] == 0) <= candidate.row.size:
            continue
        # The law's uncertainty and the group's own, so the draws are of what would be measured there.
        draws = fit.predict(candidate.design[at], rng) + points.sd[at] * rng.standard_normal(len(fit.weights))
        below = float(fit.weights[draws < shifted.y[at]].sum())
        if min(below, 1 - below) < 0.005:
            out.append(int(at))
    return out
