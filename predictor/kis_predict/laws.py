"""The built-in laws. Each is linear in its parameters on the log scale and leaves every exponent's sign free."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["BudgetLaw", "ComputeLaw", "PowerLaw"]

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
