"""What is retained at an amount: the sizes' own curves, laid at the target's collapse point.

The curves of the sizes, each as a part of its peak's height and by log F - log F_c, stand for the target's; its peak is
extrapolated by a line in log N on the logit scale whose slope is shrunk to zero. The draws hold the doubt about where
the collapse point lies, which size the target resembles, and how high its peak is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from kis_predict.curves import rise_fall
from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.laws.selection import quantile
from kis_predict.prediction import Retained

__all__ = ["retained"]

Array = npt.NDArray[np.float64]

_SLOPE = 0.15
"""Prior standard deviation of the slope of the peak's logit by log N."""
_SCATTER = 0.15
"""Least scatter of the peak's logit between sizes."""
_DRAWS = 2000
_GRID = np.linspace(-8.0, 4.0, 481)


def retained(
    sizes: Sequence[SizeEstimate], params: float, log_collapse: Array, weights: Array, frequencies: Sequence[float],
    confidence: float, seed: int,
) -> tuple[Retained, ...]:  # fmt: skip
    """Return what is retained at each of ``frequencies``.

    Args:
        sizes: The estimates; those whose collapse was observed count.
        params: N of the target.
        log_collapse: Draws of log F_c there, (draws,).
        weights: Theirs, (draws,).
        frequencies: F, each.
        confidence: Of the intervals.
        seed: Of the draws.
    """
    seen = [size for size in sizes if size.censored is None]
    rng = np.random.default_rng([seed, 13])
    at = rng.choice(len(log_collapse), _DRAWS, p=weights / weights.sum())
    curves = np.array([_height(size) for size in seen])  # (sizes, grid)
    like = rng.choice(len(seen), _DRAWS, p=_likeness(seen, params))
    chance = float(np.median([size.group.chance for size in seen]))
    peak = _peaks(seen, params, chance, rng)
    tail = (1 - confidence) / 2
    even = np.full(_DRAWS, 1 / _DRAWS)
    out = []
    for frequency in frequencies:
        beyond = np.log(frequency) - log_collapse[at]
        part = np.array([np.interp(x, _GRID, curves[which]) for x, which in zip(beyond, like, strict=True)])
        value = chance + (peak - chance) * part
        low, middle, high = (quantile(value, even, q) for q in (tail, 0.5, 1 - tail))
        out.append(Retained(frequency, middle, low, high, float(np.median(part))))
    return tuple(out)


def _height(size: SizeEstimate) -> Array:
    """Return the height of a size's curve above chance as a part of its peak's, over log F - log F_c, (grid,)."""
    x = _GRID + size.log_collapse
    chance = size.group.chance
    curve = rise_fall.curve(np.atleast_2d(size.parameters), x, chance, rise_fall.SHAPES[size.shape])[0]
    # Averaged over families, F_c is not exactly where this one family loses 5 %: shift it there.
    top = int(np.argmax(curve))
    fallen = curve < curve[top] - rise_fall.DROP * (curve[top] - chance)
    fallen[: top + 1] = False
    own = float(_GRID[np.argmax(fallen)]) if fallen.any() else 0.0
    height = (curve - chance) / max(float(curve[top]) - chance, 1e-6)
    return np.asarray(np.interp(_GRID + own, _GRID, height), dtype=np.float64)


def _likeness(seen: Sequence[SizeEstimate], params: float) -> Array:
    """Return how likely the target's curve is to be each size's: near ones, in log N, count more."""
    weight = 1 / (1 + np.abs(np.log(params) - np.log([size.group.params for size in seen])))
    return np.asarray(weight / weight.sum(), dtype=np.float64)


def _peaks(seen: Sequence[SizeEstimate], params: float, chance: float, rng: np.random.Generator) -> Array:
    """Return draws of the retention at the target's peak, (_DRAWS,)."""
    heights = np.clip([(size.peak_retention - chance) / (1 - chance) for size in seen], 0.01, 0.99)
    y, x = logit(heights), np.log([size.group.params for size in seen])
    design = np.stack([np.ones_like(x), x - x.mean()], axis=1)
    scatter = max(float(np.var(y, ddof=1)) if len(y) > 1 else 0.0, _SCATTER**2)
    information = design.T @ design / scatter + np.diag([0.0, 1 / _SLOPE**2])
    mean = np.linalg.solve(information, design.T @ y / scatter)
    row = np.array([1.0, np.log(params) - x.mean()])
    spread = np.sqrt(row @ np.linalg.solve(information, row) + scatter)
    return np.asarray(chance + (1 - chance) * expit(row @ mean + spread * rng.standard_normal(_DRAWS)))
