"""The estimates of the sizes as data for the laws: points, bounds, and both where a size may be either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.laws.points import Points

__all__ = ["points_of"]

Array = npt.NDArray[np.float64]

_SIDE = {None: 0, "right": 1, "left": -1}


def points_of(sizes: Sequence[SizeEstimate], what: Literal["collapse", "peak"], unit: Array | float = 0.0) -> Points:
    """Return the collapse points or peaks of the sizes.

    Args:
        sizes: The estimates.
        what: Which.
        unit: Added to log F, (sizes,): the log share of one exposure where the law is one of the share.
    """
    first = _read(sizes, what, unit)
    if not any(size.other for size in sizes):
        return first
    other = _read([size.other or size for size in sizes], what, unit)
    log_weight = np.array([size.log_weight for size in sizes])
    if what == "peak":
        # Weights are of a density in log F_c; in log F_opt it is as much higher as that is known better.
        collapsed = [size.other if size.other and size.censored else size for size in sizes]
        ratio = np.log([size.log_peak_sd / size.log_collapse_sd for size in collapsed])
        log_weight = log_weight + np.where(first.side == 0, -ratio, ratio)
    doubt = np.array([np.inf if size.odds is None else abs(np.log(size.odds)) for size in sizes])
    return replace(first, other=other, log_weight=log_weight, doubt=doubt)


def _read(sizes: Sequence[SizeEstimate], what: str, unit: Array | float) -> Points:
    return Points(
        y=np.array([getattr(size, f"log_{what}") for size in sizes]) + unit,
        sd=np.array([getattr(size, f"log_{what}_sd") for size in sizes]),
        side=np.array([_SIDE[size.censored] for size in sizes]),
    )
