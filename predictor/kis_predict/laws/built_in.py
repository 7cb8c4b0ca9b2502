"""The built-in laws. All but one are linear on the log scale; each leaves every exponent's sign free."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit

__all__ = ["BudgetLaw", "ComputeLaw", "OffsetLaw", "PowerLaw"]

Array = npt.NDArray[np.float64]


class PowerLaw:
    """A power of the model size alone. What D does is taken to lie in the rule by which the sweep chose it."""

    name = "power"
    formula = "log F_c = a + b log N"
    parameters = ("a", "b")

    def features(self, params: Array, tokens: Array) -> Array:
        """Return (groups, 2)."""
        return np.stack([np.ones_like(params), np.log(params)], axis=1)


class ComputeLaw:
    """A power of the training compute, C = 6ND FLOPs (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""

    name = "compute"
    formula = "log F_c = a + b log 6ND"
    parameters = ("a", "b")

    def features(self, params: Array, tokens: Array) -> Array:
        """Return (groups, 2)."""
        return np.stack([np.ones_like(params), np.log(6 * params * tokens)], axis=1)


class BudgetLaw:
    """A power of the model size and one of the token budget: needs two budgets at some size to tell them apart."""

    name = "budget"
    formula = "log F_c = a + b log N + c log D"
    parameters = ("a", "b", "c")

    def features(self, params: Array, tokens: Array) -> Array:
        """Return (groups, 3)."""
        return np.stack([np.ones_like(params), np.log(params), np.log(tokens)], axis=1)


class OffsetLaw(PowerLaw):
    """A power of the model size above an amount that every size takes: levels off where the plain power does not."""

    name = "offset"
    formula = "F_c = F_0 + exp(a + b log N)"
    shape = "log F_0"

    def shapes(self, log_amounts: Array) -> Array:
        """Return log F_0 from a tenth to nine tenths of the smallest observed amount."""
        return np.asarray(log_amounts.min() + np.log([0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9]), dtype=np.float64)

    def bend(self, line: Array, shape: Array) -> tuple[Array, Array]:
        """Return log F_c and its slope by ``line``, a + b log N."""
        return np.logaddexp(line, shape), expit(line - shape)
