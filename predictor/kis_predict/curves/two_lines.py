"""The second estimator, a check of the first: two straight lines that meet, in a window about the maximum.

A continuous broken line (Muggeo 2003, Statistics in Medicine 22(19)), fitted at every break on a grid. It has neither
the curve family nor the pooling of the first estimator, so that a large difference between them means something.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kis_predict.curves.rise_fall import DROP

__all__ = ["TwoLines", "fit_two_lines"]

Array = npt.NDArray[np.float64]

_LEFT = 3  # points left of the maximum: more let a slow rise pull the break to the left
_FLOOR = 0.15  # points this near chance, as a part of the peak's height, are past the fall and would flatten its line
_BREAKS = 201


@dataclass(frozen=True)
class TwoLines:
    """Where the lines meet, and where the right one has lost ``DROP`` of the height there; both log F."""

    log_peak: float
    log_collapse: float


def fit_two_lines(x: Array, retention: Array, weight: Array, chance: float) -> TwoLines | None:
    """Fit a continuous broken line by weighted least squares.

    Args:
        x: log F, rising, (M,).
        retention: (M,)
        weight: Inverse variances up to a factor, (M,).
        chance: Retention of a model that guesses.

    Returns:
        None where there is no fall to fit: fewer than two points beyond the maximum, or a right line that rises.
    """
    top = int(np.argmax(retention))
    beyond = np.arange(len(x)) > top
    floor = chance + _FLOOR * (retention[top] - chance)
    fallen = beyond & (retention < floor)
    # The first point at the floor still bounds the fall; those after it say nothing about where it began.
    last = int(np.argmax(fallen)) if fallen.any() else len(x) - 1
    if fallen.any() and last - top > 1:
        last -= 1
    window = slice(max(0, top - _LEFT), last + 1)
    x, retention, weight = x[window], retention[window], np.sqrt(weight[window])
    if last - top < 1 or len(x) < 4:
        return None
    breaks = np.linspace(x[0], x[-1], _BREAKS)[1:-1]
    # The line is apex + left slope * min(x - b, 0) + right slope * max(x - b, 0): continuous at each break b.
    hinge = x[None, :] - breaks[:, None]  # (breaks, M)
    design = np.stack([np.ones_like(hinge), np.minimum(hinge, 0), np.maximum(hinge, 0)], axis=-1) * weight[:, None]
    target = retention * weight
    gram = np.einsum("kmi,kmj->kij", design, design) + 1e-9 * np.eye(3)
    solved = np.linalg.solve(gram, np.einsum("kmi,m->ki", design, target)[..., None])[..., 0]
    error = ((np.einsum("kmi,ki->km", design, solved) - target) ** 2).sum(axis=1)
    # Only breaks whose right line falls count: elsewhere there is no collapse to place.
    falls = solved[:, 2] < 0
    if not falls.any():
        return None
    at = int(np.argmin(np.where(falls, error, np.inf)))
    apex, _, slope = solved[at]
    if apex <= chance:
        return None
    return TwoLines(float(breaks[at]), float(breaks[at] + DROP * (apex - chance) / -slope))
