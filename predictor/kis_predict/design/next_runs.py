"""Which further runs would narrow the prediction most, and what they cost.

A run at (N, F) adds to the Fisher information of its size's curve; that narrows log F_c there, and through the law the
interval at the target. All of it is linear about what is known now, so no data need be drawn: the retention that the
fitted curve predicts is taken for the outcome. This is c-optimal design by greedy exchange (Atkinson and Donev 1992,
chapter 10). Runs are named one after the other, each given those before it. A new size beyond the largest takes
six runs before it says anything, and is taken as a whole where that narrows more than six single runs do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kis_predict.curves import rise_fall
from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.laws.points import Points
from kis_predict.laws.selection import Candidate
from kis_predict.prediction import NextRun
from kis_predict.sweep import MOST_SHARE

__all__ = ["next_runs", "worth_its_cost"]

Array = npt.NDArray[np.float64]

_NUDGE = 1e-4
_NEW_SIZE = (-3, -2, -1, 0, 1, 2)
"""Grid steps from the predicted collapse point at which a new size is swept."""
_WORTH = 0.95
"""Width of the target's interval, as a part of the present one, above which further runs are not advised."""


def worth_its_cost(runs: Sequence[NextRun]) -> bool:
    """Return whether proposed runs, all together, narrow the target's interval by 5 % or more, or may do so.

    While there is no interval yet, any run may.
    """
    best = min((run.width for run in runs), default=math.inf)
    return best <= _WORTH or math.isinf(best)


@dataclass
class _Size:
    """What is known of one size while runs are added to it.

    Attributes:
        estimate: As it stands.
        information: Of its curve's parameters, (6, 6); changed as runs are added.
        gradient: Of log F_c by them, (6,).
        variance: Of log F_c by that information, before any run is added.
        probes: Effective number of probes of a run.
        added: Runs added.
    """

    estimate: SizeEstimate
    information: Array
    gradient: Array
    variance: float
    probes: float
    added: int = 0


def next_runs(
    sizes: Sequence[SizeEstimate], points: Points, chosen: Candidate, count: int, below: float, by_share: bool,
    per_flop: bool = False,
) -> tuple[NextRun, ...]:  # fmt: skip
    """Return the ``count`` runs that shrink the target's interval most, the best first.

    Candidates are the tested frequencies, the middles between them and two steps beyond either end, at every size; and
    one new size, as far beyond the largest as that is beyond the one before it.

    Args:
        sizes: What the groups say.
        points: The same for the law.
        chosen: The law.
        count: How many.
        below: No new size is as large: N of the target, or 0 for none at all.
        by_share: Whether the law is one of the share of D.
        per_flop: Whether that run comes first which narrows most for its cost, rather than most.
    """
    states = [_state(size) for size in sizes]
    sigma = float(np.sqrt(chosen.fit.weights @ chosen.fit.sigmas**2))
    start = _target_sd(states, points, chosen, sigma)
    if not np.isfinite(start):
        return ()
    single = _singles(states, points, chosen, sigma, count, start, per_flop)
    new = _new_size(sizes, points, chosen, sigma, start, by_share) if count >= len(_NEW_SIZE) else ()
    new = new if new and new[0].params < below else ()
    if new and (len(single) < len(new) or new[-1].width < single[len(new) - 1].width):
        return new if count == len(new) else (*new, *single[: count - len(new)])
    return single


def _singles(
    states: Sequence[_Size], points: Points, chosen: Candidate, sigma: float, count: int, start: float,
    per_flop: bool,
) -> tuple[NextRun, ...]:  # fmt: skip
    now, out = start, []
    options = [(state, float(x)) for state in states for x in _options(state.estimate)]
    costs = np.array([float(state.estimate.group.params) * state.estimate.group.tokens for state, _ in options])
    for _ in range(count):
        tried = []
        for state, x in options:
            with_run = _with_run(state, x)
            others = [with_run if each is state else each for each in states]
            tried.append(_target_sd(others, points, chosen, sigma))
        gains = now - np.array(tried)
        best = int(np.argmax(gains / costs if per_flop else gains))
        if tried[best] >= now - 1e-9:
            break
        (state, x), now = options[best], tried[best]
        after = _with_run(state, x)
        state.information, state.added = after.information, after.added
        out.append(_run(state.estimate.group.params, state.estimate.group.tokens, x, now / start))
    return tuple(out)


def _run(params: int, tokens: int, x: float, width: float) -> NextRun:
    return NextRun(params, tokens, float(np.exp(x)), flops=6.0 * params * tokens, width=width)


def _state(size: SizeEstimate) -> _Size:
    group = size.group
    x, _, probes, repeats = group.points()
    shape, chance = rise_fall.SHAPES[size.shape], group.chance
    parameters = size.parameters[None]
    data = rise_fall.information(parameters, x, repeats * probes, chance, shape)[0]
    information = data + np.diag(1 / rise_fall.weak_prior(x).sd ** 2)
    nudged = np.concatenate([parameters + _NUDGE * np.eye(6), parameters - _NUDGE * np.eye(6)])
    collapse = rise_fall.critical_points(nudged, x, chance, shape)[1]
    gradient = np.zeros(6)
    if size.censored is None and np.isfinite(collapse).all():
        gradient = (collapse[:6] - collapse[6:]) / (2 * _NUDGE)
    variance = float(gradient @ np.linalg.solve(information, gradient))
    return _Size(size, information, gradient, variance, float(np.median(probes)))


def _new_size(
    sizes: Sequence[SizeEstimate], points: Points, chosen: Candidate, sigma: float, start: float,
    by_share: bool,
) -> tuple[NextRun, ...]:  # fmt: skip
    """Return the runs of a size beyond the largest, which is then known as well as the others; none past the target."""
    tried = sorted({size.group.params for size in sizes})
    params = round(tried[-1] ** 2 / tried[-2])
    log_n, log_d = (np.log([getattr(size.group, name) for size in sizes]) for name in ("params", "tokens"))
    slope, level = np.polyfit(log_n, log_d, 1)
    tokens = round(float(np.exp(level + slope * np.log(params))))
    row = np.asarray(chosen.law.features(np.array([float(params)]), np.array([float(tokens)])), dtype=np.float64)
    seen = points.side == 0
    sd = float(np.median(points.sd[seen]))
    weight = np.append(np.where(seen, 1 / (sigma**2 + points.sd**2), 0.0), 1 / (sigma**2 + sd**2))
    after = _sd_at(np.vstack([chosen.design, row]), weight, chosen.row, sigma) / start
    step = float(np.median([np.median(np.diff(size.group.points()[0])) for size in sizes]))
    # What the law adds from the largest size to the new one; an equal share of a larger D is more exposures.
    at = int(np.argmax([size.group.params for size in sizes]))
    middle = sizes[at].log_collapse + chosen.fit.at(row[0]) - chosen.fit.at(chosen.design[at])
    middle += float(np.log(tokens / sizes[at].group.tokens)) if by_share else 0.0
    return tuple(_run(params, tokens, middle + step * offset, after) for offset in _NEW_SIZE)


def _options(size: SizeEstimate) -> Array:
    """Return the log frequencies to consider, none at a share above the usable one."""
    x = size.group.points()[0]
    step = float(np.median(np.diff(x)))
    every = np.concatenate([x, (x[1:] + x[:-1]) / 2, x[0] - step * np.array([1, 2]), x[-1] + step * np.array([1, 2])])
    shares = [(run.infused_share() or 0.0) / run.frequency for run in size.group.runs]
    return np.sort(every[np.exp(every) * max(shares) <= MOST_SHARE])


def _with_run(state: _Size, x: float) -> _Size:
    size = state.estimate
    shape, chance = rise_fall.SHAPES[size.shape], size.group.chance
    gained = rise_fall.information(size.parameters[None], np.array([x]), np.array([state.probes]), chance, shape)[0]
    beyond = size.censored and (x > size.log_collapse if size.censored == "right" else x < size.log_collapse)
    return _Size(
        size, state.information + gained, state.gradient, state.variance, state.probes, state.added + bool(beyond)
    )


def _target_sd(states: Sequence[_Size], points: Points, chosen: Candidate, sigma: float) -> float:
    """Return the standard error at the target by weighted least squares, the law's own scatter included.

    A censored size counts once two runs lie beyond its bound, as if its collapse were then known to a grid step; a
    first one is taken for half of that, so that the pair is found.
    """
    weight = np.zeros(len(states))
    for at, state in enumerate(states):
        if points.side[at] == 0:
            now = float(state.gradient @ np.linalg.solve(state.information, state.gradient))
            part = now / state.variance if state.variance > 0 else 1.0
            weight[at] = 1 / (sigma**2 + points.sd[at] ** 2 * part)
        elif state.added:
            step = 2 * points.sd[at]  # bounds are blurred by half a step
            weight[at] = min(state.added, 2) / 2 / (sigma**2 + step**2)
    return _sd_at(chosen.design, weight, chosen.row, sigma)


def _sd_at(design: Array, weight: Array, row: Array, sigma: float) -> float:
    system = (design * weight[:, None]).T @ design
    scale = 1 / np.sqrt(np.diag(system))
    scaled = row * scale
    return float(np.sqrt(scaled @ np.linalg.solve(system * np.outer(scale, scale), scaled) + sigma**2))
