"""The peak below the collapse: log F_opt = log F_c - exp(g), at every size and at the target.

The gap is positive by construction, so that a predicted peak cannot lie beyond the predicted collapse. g is close to
constant where the shape of the curves does not change with the size; it gets a slope in log N that is shrunk to zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kis_predict.curves.size_estimates import SizeEstimate

__all__ = ["gap_draws"]

Array = npt.NDArray[np.float64]

SLOPE = 0.1
"""Prior standard deviation of the slope of g by log N: the gap changes by 25 % over a factor ten in N."""
_SCATTER = 0.15
"""Least scatter of g between sizes."""


def gap_draws(sizes: Sequence[SizeEstimate], params: float, count: int, seed: int) -> Array:
    """Return draws of exp(g), nats, at a model of ``params``, (count,): Bayesian linear regression of g on log N.

    Args:
        sizes: The estimates; those whose collapse was observed count.
        params: N of the target.
        count: How many.
        seed: Of the draws.
    """
    seen = [size for size in sizes if size.censored is None]
    g = np.array([size.log_gap for size in seen])
    x = np.log([size.group.params for size in seen])
    centre = x.mean()
    design = np.stack([np.ones_like(x), x - centre], axis=1)
    # Scatter by the method of moments, about the mean; what the errors of single sizes explain is taken off.
    errors = np.array([size.log_gap_sd for size in seen]) ** 2
    scatter = max(float(np.var(g, ddof=1) - errors.mean()) if len(g) > 1 else 0.0, _SCATTER**2)
    weight = 1 / (errors + scatter)
    information = (design * weight[:, None]).T @ design + np.diag([0.0, 1 / SLOPE**2])
    mean = np.linalg.solve(information, design.T @ (weight * g))
    row = np.array([1.0, np.log(params) - centre])
    spread = np.sqrt(row @ np.linalg.solve(information, row) + scatter)
    rng = np.random.default_rng([seed, 11])
    return np.asarray(np.exp(row @ mean + spread * rng.standard_normal(count)), dtype=np.float64)
