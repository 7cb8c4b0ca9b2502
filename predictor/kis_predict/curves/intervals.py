"""From resampled peaks and collapse points of one size to an interval and a standard error. All are of log F."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

__all__ = ["MISFIT", "around", "standard_error", "widened"]

Array = npt.NDArray[np.float64]

MISFIT = 0.075
"""Standard deviation of what no curve family gets right of a collapse point, in grid steps: it widens intervals."""
_LEAST_ERROR = 0.1


def around(samples: Array, tail: Sequence[float], value: float) -> tuple[float, float]:
    """Return the quantiles ``tail`` of the samples, moved outwards where they leave out ``value``."""
    low, high = (float(end) for end in np.quantile(samples, tail))
    return min(low, value), max(high, value)


def widened(interval: tuple[float, float], value: float, step: float, tail: Sequence[float]) -> tuple[float, float]:
    """Return an interval about ``value`` with the misfit of curves added to its error.

    Laws take sizes without it: an error that all sizes share moves no exponent, and differences between them are in
    the law's own scatter.

    Args:
        interval: From resamples of the fitted curves.
        value: The estimate.
        step: Of the grid of frequencies, nats.
        tail: The probabilities of its ends.
    """
    misfit = MISFIT * step * ndtri(tail[1])
    low, high = (float(np.hypot(end - value, misfit)) for end in interval)
    return value - low, value + high


def standard_error(samples: Array, step: float) -> float:
    """Return half the width of the central 68 %, so that a few runaway fits do not make a good size count for nothing.

    The law's own scatter, estimated over all sizes, answers for the rest. Never below a tenth of a grid step: between
    its points no curve is known better than that, whatever its model says.
    """
    low, high = np.quantile(samples, [0.16, 0.84])
    return max(float(high - low) / 2, _LEAST_ERROR * step)
