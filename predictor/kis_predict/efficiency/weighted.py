"""Accuracies that weigh rare facts more: WAF and WASB of Christoph et al. 2025 (arXiv 2506.16912)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kis_predict.efficiency.answers import ModelAnswers

__all__ = ["BUCKETS", "waf", "wasb", "weight"]

FloatArray = npt.NDArray[np.float64]

BUCKETS = tuple(2**power for power in range(14))
"""Where each bucket of counts begins: 1, 2, 4, ... 8192, the last one without an end."""
_DECAY = 0.05


def weight(occurrences: npt.ArrayLike) -> FloatArray:
    """Return exp(-0.05 x) for facts that were shown, 0 for those that never were."""
    x = np.asarray(occurrences, dtype=np.float64)
    return np.where(x > 0, np.exp(-_DECAY * x), 0.0)


def waf(answers: ModelAnswers, counted: FloatArray | None = None) -> float | None:
    """Return the weighted accuracy over all facts: sum(w correct) / sum(w); None where no fact was shown.

    Args:
        answers: Of one model.
        counted: (n,) how often each answer counts; once each if not given.
    """
    weights = weight(answers.occurrences) * (1.0 if counted is None else counted)
    total = float(weights.sum())
    return float(weights @ answers.correct) / total if total > 0 else None


def wasb(answers: ModelAnswers, counted: FloatArray | None = None) -> float | None:
    """Return the weighted accuracy over buckets of counts, each with the weight of its lower bound.

    Buckets without answers are left out. Facts shown less than once are in no bucket (the paper's weigh nothing). None
    where every fact is like that, or weighs nothing.
    """
    times = np.ones(len(answers.correct)) if counted is None else counted
    bucket = np.searchsorted(BUCKETS, answers.occurrences, side="right") - 1  # -1: below the first
    inside = bucket >= 0
    total = np.bincount(bucket[inside], times[inside], len(BUCKETS))
    right = np.bincount(bucket[inside], (times * answers.correct)[inside], len(BUCKETS))
    filled = total > 0
    weights = weight(np.array(BUCKETS))[filled]
    if not weights.sum() > 0:
        return None
    return float(weights @ (right[filled] / total[filled]) / weights.sum())
