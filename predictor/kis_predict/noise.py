"""Noise beyond what asking finitely many probes explains: seeds differ, and probes of one run are not independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kis_predict import gate
from kis_predict.pooling import Pooled
from kis_predict.sweep import Group

__all__ = ["overdispersion", "with_noise"]

Array = npt.NDArray[np.float64]

_MOST = 0.2
_FEWEST_REPEATS = 4


def with_noise(group: Group, rho: float) -> tuple[Array, Array, Array]:
    """Return log F, retention and the effective number of probes at each distinct frequency, each (M,).

    A run of n probes with intra-class correlation rho knows as much as n / (1 + (n - 1) rho) independent ones: its
    variance is p (1 - p) [(1 - rho) / n + rho], that of the beta-binomial.
    """
    x, retention, probes, repeats = group.points()
    return x, retention, repeats * probes / (1 + (probes - 1) * rho)


def overdispersion(groups: Sequence[Group], pooled: Pooled) -> float:
    """Return rho over all groups, by moments.

    Two estimates: the scatter of repeated runs at one frequency about their mean, and that of the points about the
    fitted curves. The second holds the curves' own error too; the larger counts, so that a poor fit widens intervals.

    Args:
        groups: Where the runs are.
        pooled: The gates fitted to them.
    """
    curves, means = np.zeros(3), np.zeros(3)  # scatter seen, scatter that binomial noise gives, what rho = 1 would add
    repeated = 0.0
    shape = pooled.shape
    for place, group in enumerate(groups):
        parameters, prior = pooled.of(place)
        x, retention, probes, repeats = group.points()
        p = gate.curve(parameters, x, group.chance, shape)[0]
        told = gate.information(parameters, x, repeats * probes, group.chance, shape)[0]
        settled = float(np.trace(np.linalg.solve(told + np.diag(1 / prior.sd**2), told)))
        free = 1 - settled / len(x)
        seen = float((repeats * (retention - p) ** 2 / (p * (1 - p))).sum())
        curves += seen, free * float((1 / probes).sum()), free * float((1 - 1 / probes).sum())
        at = np.searchsorted(x, np.log([run.frequency for run in group.runs]))
        values = np.array([run.retention for run in group.runs])
        seen = float(((values - retention[at]) ** 2 / (p[at] * (1 - p[at]))).sum())
        again = repeats - 1
        means += seen, float((again / probes).sum()), float((again * (1 - 1 / probes)).sum())
        repeated += float(again.sum())
    estimates = [(seen - plain) / more for seen, plain, more in (curves, means) if more > 0]
    return float(np.clip(max(estimates[: 1 + (repeated >= _FEWEST_REPEATS)], default=0.0), 0.0, _MOST))
