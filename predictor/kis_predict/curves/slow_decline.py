"""Does retention sink slowly before it collapses? A gate has one fall and would place F_c at the steep one.

No single size shows it: the points on top of all sizes are taken together, and what the gates leave of them is
regressed on log F with one slope. One plainly below zero says that the definition's 5 % are lost before the onset.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kis_predict.curves import rise_fall as gate
from kis_predict.curves.pooling import Curve, Pooled

__all__ = ["sag"]

Array = npt.NDArray[np.float64]

_PLAIN = 1.645  # one-sided, 5 %
_FEWEST = 6


def sag(curves: Sequence[Curve], pooled: Pooled) -> float:
    """Return by how much earlier than the gates say 5 % of the height is lost, nats, over all sizes; 0 without a sag.

    Args:
        curves: The sizes, with effective probes.
        pooled: Their gates.
    """
    parts = [_top(curve, *pooled.of(at)[:1], pooled.shape) for at, curve in enumerate(curves)]
    x, left, weight = (np.concatenate([part[i] for part in parts]) for i in range(3))
    spread = float(weight @ x**2)
    if len(x) < _FEWEST or spread == 0:
        return 0.0
    slope = float(weight @ (x * left)) / spread  # of height lost, a nat
    if slope * np.sqrt(spread) > -_PLAIN:
        return 0.0
    return max(0.0, float(np.median([part[3] for part in parts])) - gate.DROP / -slope)


def _top(curve: Curve, parameters: Array, shape: gate.Shape) -> tuple[Array, Array, Array, float]:
    """Return log F from the middle, what the gate leaves of the height, weights, and the length of one size's top.

    The top is where the gate keeps 95 % of its height; weights are inverse variances.
    """
    fitted = gate.curve(parameters, curve.x, curve.chance, shape)[0]
    grid = np.linspace(curve.x[0], curve.x[-1], 400)
    level = gate.curve(parameters, grid, curve.chance, shape)[0]
    height = level.max() - curve.chance
    high = grid[level >= level.max() - gate.DROP * height]
    on_top = (curve.x >= high[0]) & (curve.x <= high[-1])
    x = curve.x[on_top]
    if len(x) < 2:
        return x[:0], x[:0], x[:0], 0.0
    weight = height**2 * curve.n[on_top] / (fitted[on_top] * (1 - fitted[on_top]))
    left = (curve.retention[on_top] - fitted[on_top]) / height
    middle, mean = float(weight @ x / weight.sum()), float(weight @ left / weight.sum())
    return x - middle, left - mean, weight, float(high[-1] - high[0])
