"""How much runs differ that differ in their seed alone, pooled over cells, and what that makes of a mean."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from statistics import variance

from scipy.stats import t as student

__all__ = ["half_width", "scatter"]


def scatter(cells: Collection[Sequence[float]]) -> tuple[float, int]:
    """Return the standard deviation of a run around the mean of its cell, NaN without repeats, and its freedom."""
    several = [values for values in cells if len(values) > 1]
    free = sum(len(values) - 1 for values in several)
    squares = sum((len(values) - 1) * variance(values) for values in several)
    return (math.sqrt(squares / free) if free else math.nan), free


def half_width(cells: Collection[Sequence[float]], count: float) -> float:
    """Return half the 95 % interval of a mean of ``count`` runs by Student's t, NaN without repeats."""
    spread, free = scatter(cells)
    return float(student.ppf(0.975, free)) * spread / math.sqrt(count) if free else math.nan
