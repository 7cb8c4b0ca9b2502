"""Noise beyond what a finite number of probes explains: seeds differ, and the probes of one run are not independent.

The accuracy of a run is taken for beta-binomial: its variance is p (1 - p) [(1 - rho) / n + rho] for n probes with
intra-class correlation rho (Williams 1982, Applied Statistics 31(2)). rho is estimated by the method of moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kis_predict.curves import rise_fall
from kis_predict.curves.pooling import Pooled
from kis_predict.sweep import Group

__all__ = ["USUAL_RHO", "Noise", "dips", "overdispersion", "second_rise", "with_noise"]

Array = npt.NDArray[np.float64]

_MOST = 0.2
_FEWEST_REPEATS = 4
USUAL_RHO = 0.02**2 / 0.25
"""rho of runs that differ by a standard deviation of 0.02 at a retention of one half, as seeds commonly do."""
_WEIGHT_OF_USUAL = 8.0
"""For how many degrees of freedom this counts where no seeds are repeated."""
_DIP = 5.0


@dataclass(frozen=True)
class Noise:
    """How runs scatter beyond their probes.

    Attributes:
        rho: Intra-class correlation of the probes of one run.
        freedom: Degrees of freedom that rho was estimated with.
    """

    rho: float
    freedom: float


def with_noise(group: Group, rho: float) -> tuple[Array, Array, Array]:
    """Return log F, retention and the effective number of probes at each distinct frequency, each (M,).

    A run of n probes with intra-class correlation rho knows as much as n / (1 + (n - 1) rho) independent ones: its
    variance is p (1 - p) [(1 - rho) / n + rho], that of the beta-binomial.
    """
    x, retention, probes, repeats = group.points()
    return x, retention, repeats * probes / (1 + (probes - 1) * rho)


def overdispersion(groups: Sequence[Group], pooled: Pooled) -> Noise:
    """Estimate rho over all groups, by moments.

    Two estimates: the scatter of repeated runs at one frequency about their mean, and that of the points about the
    fitted curves. The second holds the curves' own error too; the larger counts, so that a poor fit widens intervals.
    A curve with free corners goes through single noisy points, so where no seeds are repeated, the scatter about the
    curves understates how runs differ: it is then averaged with what seeds commonly do, and a degree of freedom a size
    is taken off for the choice among many starts.

    Args:
        groups: Where the runs are.
        pooled: The curves fitted to them.
    """
    curves, means = np.zeros(3), np.zeros(3)  # scatter seen, scatter that binomial noise gives, what rho = 1 would add
    repeated = left = 0.0
    for place, group in enumerate(groups):
        parameters, prior = pooled.of(place)
        x, retention, probes, repeats = group.points()
        p = rise_fall.curve(parameters, x, group.chance, pooled.shape)[0]
        data = rise_fall.information(parameters, x, repeats * probes, group.chance, pooled.shape)[0]
        # Parameters that the data determine, the others being held by the prior: the trace of the hat matrix.
        fitted = float(np.trace(np.linalg.solve(data + np.diag(1 / prior.sd**2), data)))
        free = max(1 - (fitted + 1) / len(x), 0.05)
        left += free * len(x)
        seen = float((repeats * (retention - p) ** 2 / (p * (1 - p))).sum())
        curves += seen, free * float((1 / probes).sum()), free * float((1 - 1 / probes).sum())
        # Scatter of repeated runs about the mean at their frequency: free of the curve's own error.
        at = np.searchsorted(x, np.log([run.frequency for run in group.runs]))
        values = np.array([run.retention for run in group.runs])
        seen = float(((values - retention[at]) ** 2 / (p[at] * (1 - p[at]))).sum())
        again = repeats - 1
        means += seen, float((again / probes).sum()), float((again * (1 - 1 / probes)).sum())
        repeated += float(again.sum())
    if repeated < _FEWEST_REPEATS:
        # The usual scatter of seeds enters as if it had been seen with this many degrees of freedom.
        curves += _WEIGHT_OF_USUAL * USUAL_RHO, 0.0, _WEIGHT_OF_USUAL
        left += _WEIGHT_OF_USUAL
    estimates = [(seen - plain) / more for seen, plain, more in (curves, means) if more > 0]
    rho = float(np.clip(max(estimates[: 1 + (repeated >= _FEWEST_REPEATS)], default=0.0), 0.0, _MOST))
    return Noise(rho, left + repeated)


def dips(group: Group) -> list[int]:
    """Return the places in ``group.points()`` of single frequencies whose retention is far too low: broken runs.

    A rise followed by a fall has no valley. A point lies in one if both its neighbours are above it by five standard
    errors: those of the probes and of seeds as they commonly differ. The ends of the range, points that are too high,
    and valleys of several points (a second rise) may be real and are kept.
    """
    x, retention, probes, repeats = group.points()
    p = np.clip(retention, 0.05, 0.95)
    variance = p * (1 - p) * ((1 - USUAL_RHO) / probes + USUAL_RHO) / repeats
    out = []
    for at in range(1, len(x) - 1):
        if all(retention[i] - retention[at] > _DIP * np.sqrt(variance[i] + variance[at]) for i in (at - 1, at + 1)):
            out.append(at)
    return out


def second_rise(group: Group) -> int | None:
    """Return the place in ``group.points()`` from which retention rises a second time, after its collapse; or None.

    Beyond the lowest point after the peak, two points or the last one lie above it by five standard errors.
    """
    x, retention, probes, repeats = group.points()
    p = np.clip(retention, 0.05, 0.95)
    variance = p * (1 - p) * ((1 - USUAL_RHO) / probes + USUAL_RHO) / repeats
    # The first peak: the highest point before which nothing falls far; a second one may be higher.
    for at in range(2, len(x) - 1):
        before = int(np.argmax(retention[:at]))
        fallen = retention[before] - retention[at] > _DIP * np.sqrt(variance[before] + variance[at])
        after = retention[at + 1 :] - retention[at] > _DIP * np.sqrt(variance[at + 1 :] + variance[at])
        # One low run is broken; a valley has a second low point, beside the lowest, before the rise.
        valley = retention[at + 1 :].max() - retention[at - 1] > _DIP * np.sqrt(variance[at - 1] + variance[at + 1])
        if fallen and valley and retention[at] <= retention[at + 1 :].min() and after.sum() >= min(2, len(after)):
            return at + 1
    return None
