"""Runs that would mend a sweep that is too thin for an answer: what ``missing`` says in words, as runs to start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

import numpy as np
import numpy.typing as npt

from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.design.missing_runs import FEWEST_SIZES
from kis_predict.prediction import NextRun
from kis_predict.sweep import FEWEST_FREQUENCIES, MOST_SHARE, Group, Sweep

__all__ = ["fallback_runs"]

Array = npt.NDArray[np.float64]

_NEW_SIZE = 3.0
"""How many times as large as the largest size a new one is."""
_A_SIZE = FEWEST_FREQUENCIES + 3
"""Frequencies that a new size is begun with, and a thin one filled up to."""


def fallback_runs(
    sweep: Sweep, sizes: Sequence[SizeEstimate], count: int, new_sizes: bool = True
) -> tuple[NextRun, ...]:
    """Return ``count`` runs at most: sizes take turns, the smallest (and cheapest) first, each with its best run first.

    A size without a collapse is looked at beyond its end, as long as general text is left there, then around its best
    frequency; one with too few frequencies is filled up; a size that is lacking is added whole.

    Args:
        sweep: What the runs make.
        sizes: Its groups, estimated.
        count: How many.
        new_sizes: Whether a size that is lacking may be added.
    """
    open_ = [_beyond(size) for size in sizes if size.censored]
    thin = [_filled(group) for group in sweep.thin]
    found = [run for run in chain.from_iterable(zip_longest(*open_, *thin)) if run is not None]
    have = [*(size.group for size in sizes), *sweep.thin]
    if new_sizes and have and len({group.params for group in have}) < FEWEST_SIZES:
        found += _larger(max(have, key=lambda group: group.params), have)
    return tuple(found[:count])


def _beyond(size: SizeEstimate) -> Iterator[NextRun]:
    """Yield runs past the open end of a size; where nothing fits there, between and at those around its best one."""
    group = size.group
    x, retention, *_ = group.points()
    step = float(np.median(np.diff(x)))
    outward = x[-1] + step * np.arange(1, 4) if size.censored == "right" else x[0] - step * np.arange(1, 4)
    fitting = _fitting(group, outward)
    if not len(fitting):
        best = int(np.argmax(retention))
        near = x[max(best - 1, 0) :]
        fitting = np.concatenate([(near[1:] + near[:-1]) / 2, near])
    yield from (_run(group, at) for at in fitting)


def _filled(group: Group) -> Iterator[NextRun]:
    """Yield runs in the widest gaps of a group, and beyond it where it has one frequency only."""
    x = np.unique(np.log([run.frequency for run in group.runs]))
    if len(x) == 1:
        x = np.concatenate([x, _fitting(group, x[0] + np.log(2) * np.array([1.0, -1.0]))])
        yield from (_run(group, at) for at in x[1:])
    while len(x) < _A_SIZE and len(x) > 1:
        x = np.sort(x)
        gap = int(np.argmax(np.diff(x)))
        middle = (x[gap] + x[gap + 1]) / 2
        yield _run(group, middle)
        x = np.append(x, middle)


def _larger(largest: Group, have: Sequence[Group]) -> Iterator[NextRun]:
    """Yield the runs of a size beyond the largest, over that one's frequencies."""
    budgets = {group.tokens for group in have}
    params = round(largest.params * _NEW_SIZE)
    tokens = largest.tokens if len(budgets) == 1 and len(have) > 1 else round(largest.tokens * _NEW_SIZE)
    ends = np.log([min(run.frequency for run in largest.runs), max(run.frequency for run in largest.runs)])
    for at in np.linspace(ends[0], ends[1], _A_SIZE):
        yield NextRun(params, tokens, float(np.exp(at)), flops=6.0 * params * tokens, width=np.inf)


def _fitting(group: Group, x: Array) -> Array:
    """Return the log frequencies whose share the predictor would use."""
    share = max((run.infused_share() or 0.0) / run.frequency for run in group.runs)
    return x[(np.exp(x) * share <= MOST_SHARE) & (x >= 0)]


def _run(group: Group, x: float) -> NextRun:
    return NextRun(group.params, group.tokens, float(np.exp(x)), flops=6.0 * group.params * group.tokens, width=np.inf)
