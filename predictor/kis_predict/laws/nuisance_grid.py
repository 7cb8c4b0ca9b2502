"""The nuisance grid: what a law's fit sums over beside its parameters.

These are the law's scatter sigma, the parameter that bends it, which group is the bad one, and for groups that may or
may not have collapsed, which of the two readings holds. A point of the grid is one combination of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from kis_predict.laws.points import Points

__all__ = ["BAD", "BAD_SCATTER", "EXPONENT", "FREE", "Bend", "NuisanceGrid", "Shrinkage", "nuisance_grid", "rank"]

Array = npt.NDArray[np.float64]

SCATTER = 0.15
"""Scale of the half-Cauchy, nats: half of all laws are taken to scatter by less than 15 %."""
BAD = 0.1
"""Prior probability that one size is bad."""
EXPONENT = 1.5
"""Prior standard deviation of a law's exponent of N: weak beside published ones, from -1.15 to 0.25, and enough to keep
two or three near sizes from allowing any."""
BAD_SCATTER = 1.0
"""Standard deviation of a bad size, nats."""
_SIGMAS = np.geomspace(0.004, 4.0, 28)
_MOST_DOUBTFUL = 3
"""Groups that are read both ways, in all combinations; the others as is likelier."""


@dataclass(frozen=True)
class Bend:
    """How a law leaves the straight line: log F_c = curve(x beta, shape)[0].

    Attributes:
        shapes: Values of the parameter that bends it, (shapes,), equally likely beforehand.
        curve: Takes the line and the shape, arrays that broadcast; returns log F_c and its slope by the line.
    """

    shapes: Array
    curve: Callable[[Array, Array], tuple[Array, Array]]


@dataclass(frozen=True)
class Shrinkage:
    """A Gaussian prior on some of a law's parameters, its width itself open: mixed, it has heavier tails.

    Attributes:
        at: Which parameters, (m,).
        mean: Their prior means, (m,).
        sd: Their prior standard deviations, one row for each width to try, equally likely, (widths, m).
        slope: The row, (p,), whose product with beta is the law's exponent of N in the middle of the sizes, in standard
            deviations of its prior; None for a flat one.
    """

    at: npt.NDArray[np.int64]
    mean: Array
    sd: Array
    slope: Array | None = None

    def precision(self, p: int) -> Array:
        """Return the prior's precisions, (widths, p): zero for parameters that are free."""
        out = np.zeros((len(self.sd), p))
        out[:, self.at] = 1 / self.sd**2
        return out


FREE = Shrinkage(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros((1, 0)))


@dataclass(frozen=True)
class NuisanceGrid:
    """Everything but beta, one setting an entry: sigma, shape, bad, log_prior (K,); spread and points (K, groups).

    Attributes:
        width: Which of the prior's widths, (K,).
        log_read: Log-likelihood ratio of the readings taken to the first readings, (K,).
    """

    sigma: Array
    shape: Array
    width: npt.NDArray[np.int64]
    bad: npt.NDArray[np.int64]
    spread: Array
    points: Points
    log_prior: Array
    log_read: Array


def nuisance_grid(points: Points, law: Bend, design: Array, shrinkage: Shrinkage = FREE) -> NuisanceGrid:
    """Return every sigma with every shape, every reading of the groups and every choice of the bad one: -1 for none.

    To doubt an observed size takes two observed more than free parameters; one more, to doubt a bound.
    """
    free = np.delete(design, shrinkage.at, axis=1)
    parts = [
        _of_one_reading(reading, law, shrinkage, free.shape[1], log_read)
        for reading, log_read in _readings(points, free)
    ]
    sigma, shape, width, bad, spread, log_prior, log_read, y, sd, side = (
        np.concatenate(rows) for rows in zip(*parts, strict=True)
    )
    return NuisanceGrid(sigma, shape, width, bad, spread, Points(y, sd, side), log_prior, log_read)


def _readings(points: Points, design: Array) -> list[tuple[Points, float]]:
    """Return what the groups may say together, and by how much likelier that makes their runs than the first readings.

    The few groups that are most in doubt are read both ways; none that leaves the law unsettled is taken.
    """
    if points.other is None or points.log_weight is None or points.doubt is None:
        return [(points, 0.0)]
    doubtful = [at for at in np.argsort(points.doubt)[:_MOST_DOUBTFUL] if np.isfinite(points.doubt[at])]
    out = []
    for taken in product([False, True], repeat=len(doubtful)):
        swap = np.zeros(len(points.y), dtype=bool)
        swap[doubtful] = taken
        y, sd, side = (
            np.where(swap, getattr(points.other, name), getattr(points, name)) for name in ("y", "sd", "side")
        )
        seen, p = side == 0, design.shape[1]
        if not swap.any() or (np.count_nonzero(seen) > p and rank(design[seen]) == p):
            out.append((Points(y, sd, side), float(points.log_weight[swap].sum())))
    return out


def _of_one_reading(
    points: Points, law: Bend, shrinkage: Shrinkage, p: int, log_read: float
) -> tuple[Array, ...]:  # fmt: skip
    spare = np.count_nonzero(points.side == 0) - p
    suspects = np.flatnonzero(((points.side == 0) & (spare >= 2)) | ((points.side > 0) & (spare >= 1)))
    widths = np.arange(len(shrinkage.sd))
    grids = np.meshgrid(_SIGMAS, law.shapes, widths, np.append(-1, suspects), indexing="ij")
    sigma, shape, width, bad = (each.ravel() for each in grids)
    width, bad = width.astype(np.int64), bad.astype(np.int64)
    log_prior = np.log(sigma) - np.log1p((sigma / SCATTER) ** 2)  # the grid is even in log sigma
    log_prior += np.where(bad < 0, np.log(1 - BAD), np.log(BAD / max(1, len(suspects))))
    log_prior -= np.log(shrinkage.sd).sum(axis=1)[width]  # the Gaussian's norm: a wide prior pays for its width
    is_bad = bad[:, None] == np.arange(len(points.y))
    spread = np.sqrt(sigma[:, None] ** 2 + points.sd**2 + BAD_SCATTER**2 * is_bad)
    rows = (np.broadcast_to(row, spread.shape) for row in (points.y, points.sd, points.side))
    return sigma, shape, width, bad, spread, log_prior, np.full(len(sigma), log_read), *rows


def rank(design: Array) -> int:
    """Return the rank. Columns in step to a thousandth, as log N and log D at constant D/N, count once."""
    return int(np.linalg.matrix_rank(design / np.linalg.norm(design, axis=0), tol=1e-3))
