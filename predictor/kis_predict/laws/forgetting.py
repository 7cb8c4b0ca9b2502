"""The second budget: the greatest amount that keeps general loss near that of the uninfused run, size by size.

The criterion is that of critical mixture ratios (CMR, arXiv 2407.17467, section 3): loss on general text may rise by
no more than a given number of nats over the run without infusion. The rise is taken to grow with F and is read off an
isotonic regression (Barlow et al. 1972; scipy), linear in log F between the tested amounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from kis_plugin.amounts import short
from kis_plugin.errors import KISError, Problem
from kis_predict.laws.fact_count import as_many_facts
from kis_predict.laws.points import Points
from kis_predict.laws.selection import Sizes, at_risk, fit_laws, mixture, quantile
from kis_predict.observed import ObservedRun
from kis_predict.prediction import Forgetting
from kis_predict.protocols import Law
from kis_predict.request import PredictionRequest
from kis_predict.sweep import Group, Sweep

__all__ = ["LossLimit", "forgetting_limit", "isotonic", "loss_limits", "refuse_unclear_losses"]

Array = npt.NDArray[np.float64]

FEWEST_SIZES = 3
_FEWEST_FREQUENCIES = 3
_LEAST_NOISE = 0.005
"""Standard deviation of the loss of runs that differ in their seed, nats: never taken to be smaller."""
_DRAWS = 400


_SIDE = {None: 0, "right": 1, "left": -1}


@dataclass(frozen=True)
class LossLimit:
    """Where one size reaches the rise.

    Attributes:
        group: Its runs.
        log_limit: log F at which the rise is reached, or the bound that it lies beyond.
        sd: Its standard error, of the bound where censored.
        censored: ``right`` where no tested amount reaches it, ``left`` where the smallest one exceeds it.
    """

    group: Group
    log_limit: float
    sd: float
    censored: Literal["left", "right"] | None


def refuse_unclear_losses(runs: Sequence[ObservedRun]) -> None:
    """Refuse runs with losses of several evaluation sets of which none is general loss: they decide about forgetting.

    Raises:
        KISError: It names the evaluation sets.
    """
    unclear = [run for run in runs if run.loss_splits]
    if unclear:
        names = sorted({name for run in unclear for name in run.loss_splits})
        found = f"losses of {', '.join(names)} in {len(unclear):,} of {len(runs):,} logs, such as {unclear[0].source}"
        hint = "Runs say it themselves with retention.general_split in kis.yaml."
        raise KISError(Problem("--general-split", found, "the name of the one that is general text", hint))


def forgetting_limit(
    sweep: Sweep,
    laws: Mapping[str, Law],
    target: tuple[float, float],
    infused: float | None,
    question: PredictionRequest,
) -> tuple[Forgetting, float]:
    """Predict the greatest amount at the target by a law through those of the sizes.

    Args:
        sweep: The runs, uninfused ones among them.
        laws: To be fitted and weighed as for collapse points.
        target: N and D.
        infused: Tokens of one exposure of every fact there, None if unknown. Loss rises with the text that is infused,
            so another number of facts than the sweep's reaches the limit at other exposures.
        question: For the rise, the risk, the confidence and the seed.

    Returns:
        The answer, and the amount that keeps within the rise but for the risk; infinite where the logs cannot tell.
    """
    limits = loss_limits(sweep, question.max_loss_rise, question.seed)
    reason = _missing(sweep, limits, question.max_loss_rise)
    where = Sizes(
        params=np.array([limit.group.params for limit in limits], dtype=np.float64),
        tokens=np.array([limit.group.tokens for limit in limits], dtype=np.float64),
        target=target,
    )
    points = Points(
        y=np.array([limit.log_limit for limit in limits]),
        sd=np.array([limit.sd for limit in limits]),
        side=np.array([_SIDE[limit.censored] for limit in limits], dtype=np.int64),
    )
    # The same laws, weights and mixture as for collapse points: a limit per size takes the place of F_c.
    unit = as_many_facts([limit.group for limit in limits], infused)
    candidates = [] if reason else fit_laws(laws, where, points, question.seed, {"frequency": unit})
    if not candidates:
        reason = reason or "The sizes whose loss is known determine no law"
        return Forgetting(question.max_loss_rise, reason=reason), np.inf
    draws, weights = mixture(candidates, question.seed)
    tail = (1 - question.confidence) / 2
    low, middle, high = (float(np.exp(quantile(draws, weights, at))) for at in (tail, 0.5, 1 - tail))
    least = float(np.exp(at_risk(candidates, draws, weights, question.risk)))
    share, holdout = None if infused is None else middle * infused / target[1], candidates[0].holdout
    missed = None if holdout is None else float(abs(np.expm1(holdout)))
    return Forgetting(question.max_loss_rise, middle, low, high, share, missed), least


def loss_limits(sweep: Sweep, max_rise: float, seed: int) -> list[LossLimit]:
    """Return the limit of every size that has loss at three frequencies or more and an uninfused run."""
    tables = [(group, *_losses(group, sweep)) for group in sweep.groups]
    usable = [
        (group, x, loss, base)
        for group, x, loss, base in tables
        if len(np.unique(x)) >= _FEWEST_FREQUENCIES and len(base)
    ]
    noise = _noise(usable)
    return [
        _limit(group, x, loss, base, noise, max_rise, np.random.default_rng([seed, 7, at]))
        for at, (group, x, loss, base) in enumerate(usable)
    ]


def _missing(sweep: Sweep, limits: Sequence[LossLimit], max_rise: float) -> str:
    """Return what keeps the logs from a forgetting limit, in a sentence; empty if nothing does."""
    if all(run.loss is None for group in sweep.groups for run in group.runs):
        return "No run carries general loss"
    without = [group.label() for group in sweep.groups if not len(_losses(group, sweep)[2])]
    if without and len(limits) < FEWEST_SIZES:
        return f"No uninfused run (F = 0) with general loss at {'; '.join(without)}"
    if len(limits) < FEWEST_SIZES:
        return f"General loss is known at {len(limits)} of at least {FEWEST_SIZES} sizes"
    seen = {limit.group.params for limit in limits if limit.censored is None}
    if len(seen) >= FEWEST_SIZES:
        return ""
    if all(limit.censored == "right" for limit in limits):
        return f"No tested amount raises general loss by {max_rise:g} nats"
    if all(limit.censored == "left" for limit in limits):
        least = min(float(np.exp(limit.log_limit)) for limit in limits)
        return f"Every tested amount, from F={short(least)} on, raises general loss by more than {max_rise:g} nats"
    return f"A rise of {max_rise:g} nats lies within the tested amounts at {len(seen)} of at least {FEWEST_SIZES} sizes"


def _losses(group: Group, sweep: Sweep) -> tuple[Array, Array, Array]:
    """Return log F and loss of the infused runs, (runs,) each, and the losses of the uninfused ones."""
    pairs = [(np.log(run.frequency), run.loss) for run in group.runs if run.loss is not None]
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    base = [run.loss for run in sweep.uninfused if group.holds(run) and run.loss is not None]
    return table[:, 0], table[:, 1], np.array(base, dtype=np.float64)


def _noise(usable: Sequence[tuple[Group, Array, Array, Array]]) -> float:
    """Return by how much losses of equal runs differ: from repeats, and from how they leave a monotone curve.

    The larger of both, so that a rough curve widens the intervals even where no seed is repeated.
    """
    repeats, left = [], []
    for _, x, loss, base in usable:
        runs = [loss[x == value] for value in np.unique(x)] + [base]
        repeats += [(((run - run.mean()) ** 2).sum(), len(run) - 1) for run in runs]
        where, mean, count = _averaged(x, loss)
        # Second differences: a straight line in log F has none.
        part = (where[1:-1] - where[:-2]) / (where[2:] - where[:-2])
        bent = mean[1:-1] - (1 - part) * mean[:-2] - part * mean[2:]
        scale = 1 / count[1:-1] + (1 - part) ** 2 / count[:-2] + part**2 / count[2:]
        left += list(np.abs(bent) / np.sqrt(scale))
    # Pooled variance: squared deviations from the means of repeats over their degrees of freedom.
    scatter = sum(square for square, _ in repeats) / max(sum(free for _, free in repeats), 1)
    # 0.6745 is the median of |z| for a standard normal z, so the median over it estimates the standard deviation.
    return max(float(np.sqrt(scatter)), float(np.median(left)) / 0.6745 if left else 0.0, _LEAST_NOISE)


def _averaged(x: Array, loss: Array) -> tuple[Array, Array, Array]:
    """Return the distinct log F, the mean loss at each and the number of runs behind it, (points,) each."""
    where, at = np.unique(x, return_inverse=True)
    count = np.bincount(at).astype(np.float64)
    return where, np.bincount(at, loss) / count, count


def _limit(
    group: Group, x: Array, loss: Array, base: Array, noise: float, max_rise: float, rng: np.random.Generator
) -> LossLimit:  # fmt: skip
    where, mean, count = _averaged(x, loss)
    step = float(np.median(np.diff(where)))
    crossing, side = _crossings(where, (mean - base.mean())[None], count, max_rise)
    if side[0]:
        # A bound: the rise that begins beyond it hides in the noise, so it is blurred by half a step.
        return LossLimit(group, float(crossing[0]), 0.5 * step, "right" if side[0] > 0 else "left")
    # Parametric bootstrap of the losses, (draws, points): the uninfused run's mean is drawn too, one for all points.
    drawn = mean + noise / np.sqrt(count) * rng.standard_normal((_DRAWS, len(mean)))
    drawn -= base.mean() + noise / np.sqrt(len(base)) * rng.standard_normal((_DRAWS, 1))
    low, high = np.quantile(_crossings(where, drawn, count, max_rise)[0], [0.16, 0.84])
    return LossLimit(group, float(crossing[0]), max(float(high - low) / 2, 0.1 * step), None)


def _crossings(where: Array, rise: Array, count: Array, level: float) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return where each of B rises, (B, points), reaches ``level``, and the side on which it lies: 0, or +1 or -1."""
    fitted = isotonic(rise, count)
    # The first amount whose fitted rise exceeds the level, and the one before it, enclose the crossing.
    above = fitted > level
    first = np.where(above.any(axis=1), above.argmax(axis=1), len(where))
    side = np.where(first == len(where), 1, np.where(first == 0, -1, 0))
    right = np.clip(first, 1, len(where) - 1)
    rows = np.arange(len(rise))
    low, high = fitted[rows, right - 1], fitted[rows, right]
    # Linear between both in log F. Rises that never cross have clipped neighbours, which may be equal: no slope there.
    part = np.divide(level - low, high - low, out=np.zeros_like(low), where=high > low)
    crossing = where[right - 1] + np.clip(part, 0, 1) * (where[right] - where[right - 1])
    return np.where(side > 0, where[-1], np.where(side < 0, where[0], crossing)), side


def isotonic(values: Array, weight: Array) -> Array:
    """Return the weighted least-squares non-decreasing sequence of each row of ``values``, (B, M)."""
    return np.array([isotonic_regression(row, weights=weight).x for row in values])
