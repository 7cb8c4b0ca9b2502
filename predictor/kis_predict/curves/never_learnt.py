"""Sizes that never learnt: they say nothing about where they would collapse, so they enter nothing.

Retention that stays at chance at every frequency is neither a collapse nor its absence; nor is retention that has only
begun to rise when the tested range ends. Taken for "no collapse up to F_max", such a size would bend the law.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtri

from kis_predict.curves import rise_fall

__all__ = ["above_chance", "rise_is_over"]

Array = npt.NDArray[np.float64]

_ALPHA = 0.01
_LEAST_RISE = 0.02
_RISEN = 0.75


def above_chance(retention: Array, n: Array, chance: float) -> bool:
    """Return whether retention exceeds chance anywhere: significantly (Bonferroni, 1 %) and by two points in a hundred.

    Args:
        retention: At each frequency, (M,).
        n: Effective number of probes behind each, (M,).
        chance: Retention of a model that guesses.
    """
    # Standard error of a share of n guesses.
    error = np.sqrt(chance * (1 - chance) / n)
    bound = np.maximum(ndtri(1 - _ALPHA / len(retention)) * error, _LEAST_RISE)
    return bool((retention - chance > bound).any())


def rise_is_over(rise: Array, x: Array, shape: rise_fall.Shape) -> bool:
    """Return whether a rise alone, (1, 6), has come three quarters of its way to the top inside the tested range."""
    width = np.exp(rise[0, rise_fall.RISE_WIDTH])
    # The middle of the rise lies two widths before onset less plateau (``rise_fall``): z + 2 is counted from there.
    z = (x[-1] - rise[0, rise_fall.ONSET] + rise[0, rise_fall.PLATEAU]) / width
    return bool(shape.rise(np.array([z + 2]))[0][0] >= _RISEN) and bool(expit(rise[0, rise_fall.HEIGHT]) > 0)
