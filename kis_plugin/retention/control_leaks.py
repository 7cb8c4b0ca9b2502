"""Warnings where controls, which are never infused, are answered better than chance."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import binomtest

from kis_plugin.retention.series import CONTROL
from kis_plugin.run import log as runlog

__all__ = ["UNLIKELY", "leak_warnings"]

UNLIKELY = 0.001
"""Controls above chance with a smaller binomial probability than this are reported."""


def leak_warnings(records: Sequence[runlog.Retention]) -> list[str]:
    """Return a warning if the control record is above what is possible without knowing subjects."""
    return [
        f"warning: control facts are answered at {record.accuracy:.3f}, above chance ({_uninformed(record):.3f}), "
        "though none was infused: the base data states them, their names give them away, or infused text contains "
        "them. Retention is inflated alike."
        for record in records
        if record.probe == CONTROL and _p_value(record, _uninformed(record)) < UNLIKELY
    ]


def _p_value(record: runlog.Retention, chance: float) -> float:
    """Return the probability of as many right answers by chance: one-sided, over effectively independent questions."""
    right = round(record.worth * record.accuracy)
    return float(binomtest(right, record.worth, chance, alternative="greater").pvalue)


def _uninformed(record: runlog.Retention) -> float:
    """Return the best accuracy without knowledge of subjects: chance, or the frequency baseline where it is higher.

    In balanced sets the baseline scores below chance, because it counts a tie as wrong.
    """
    return float(max(record.extra["chance"], record.extra.get("frequency_baseline", 0.0)))
