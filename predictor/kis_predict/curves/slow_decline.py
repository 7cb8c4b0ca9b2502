"""Does retention decline slowly before it collapses? The rise-fall curve has one fall and places F_c at the steep one.

A single size does not show a slow decline. So the points on top of all curves are taken together, and their residuals
are regressed on log F with one slope. A slope that is significantly below zero means that the 5 % of the definition
are lost before the steep fall begins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kis_predict.curves import rise_fall
from kis_predict.curves.pooling import Curve, Pooled

__all__ = ["slow_decline"]

Array = npt.NDArray[np.float64]

_PLAIN = 1.645  # one-sided, 5 %
_FEWEST = 6


def slow_decline(curves: Sequence[Curve], pooled: Pooled) -> float:
    """Return how much earlier than the fitted curves say 5 % of the height is lost, nats; 0 without a slow decline.

    Args:
        curves: The sizes, with effective probes.
        pooled: The curves fitted to them.
    """
    parts = [_top(curve, *pooled.of(at)[:1], pooled.shape) for at, curve in enumerate(curves)]
    x, left, weight = (np.concatenate([part[i] for part in parts]) for i in range(3))
    spread = float(weight @ x**2)
    if len(x) < _FEWEST or spread == 0:
        return 0.0
    # Weighted least squares through the origin: x and the residuals are centred size by size.
    slope = float(weight @ (x * left)) / spread  # part of the height per nat
    if slope * np.sqrt(spread) > -_PLAIN:
        return 0.0
    # At this slope 5 % of the height are lost DROP / -slope after the top begins; the curves say: at its end.
    return max(0.0, float(np.median([part[3] for part in parts])) - rise_fall.DROP / -slope)


def _top(curve: Curve, parameters: Array, shape: rise_fall.Shape) -> tuple[Array, Array, Array, float]:
    """Return centred log F, centred residuals as parts of the height, their weights, and the length of the top.

    The top is where the fitted curve keeps 95 % of its height; weights are inverse variances.
    """
    fitted = rise_fall.curve(parameters, curve.x, curve.chance, shape)[0]
    grid = np.linspace(curve.x[0], curve.x[-1], 400)
    level = rise_fall.curve(parameters, grid, curve.chance, shape)[0]
    height = level.max() - curve.chance
    high = grid[level >= level.max() - rise_fall.DROP * height]
    on_top = (curve.x >= high[0]) & (curve.x <= high[-1])
    x = curve.x[on_top]
    if len(x) < 2:
        return x[:0], x[:0], x[:0], 0.0
    weight = height**2 * curve.n[on_top] / (fitted[on_top] * (1 - fitted[on_top]))
    left = (curve.retention[on_top] - fitted[on_top]) / height
    middle, mean = float(weight @ x / weight.sum()), float(weight @ left / weight.sum())
    return x - middle, left - mean, weight, float(high[-1] - high[0])
