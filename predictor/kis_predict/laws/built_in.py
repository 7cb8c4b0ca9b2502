"""The built-in laws: how the collapse point F_c depends on the model size N and the token budget D.

Every exponent's sign is free. A law that is no power of N alone is shrunk to one by a prior, or bends away from one,
and has to earn its weight by predicting sizes that it has not seen (``selection``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from kis_predict.protocols import WeightedLaw

__all__ = [
    "AbruptCeilingLaw",
    "BudgetLaw",
    "CeilingLaw",
    "ComputeLaw",
    "CurvedBudgetLaw",
    "CurvedLaw",
    "OffsetLaw",
    "PowerLaw",
    "ShareLaw",
    "SharpCeilingLaw",
    "built_in_laws",
]  # fmt: skip

Array = npt.NDArray[np.float64]

CURVATURES = (0.02, 0.06, 0.18)
"""Standard deviations of the curvature, equally likely beforehand. At 0.06 the local exponent of a law changes by about
0.3 over a factor of ten in N; mixed over the three, the prior has heavy tails: mostly straight, sometimes much bent."""
CURVATURE = 1.0
"""Factor on these widths: what ``--sensitivity`` halves and doubles."""
CAUTION = 2.0
"""By how much more a law with a curvature counts for the recommendation than for the interval."""
# Curvature is about 1B parameters, so that b is the exponent near there and depends little on q.
_CENTRE = float(np.log(1e9))
_OF_BUDGET = (0.5, (0.5,))
"""Mean and standard deviation of the exponent of D at a given N: 0 where exposures decide, 1 where the share does."""


def _curvature() -> tuple[float, tuple[float, ...]]:
    return 0.0, tuple(CURVATURE * width for width in CURVATURES)


class PowerLaw:
    """A power of the model size alone. What D does is taken to lie in the rule by which the sweep chose it."""

    name = "power"
    formula = "log F_c = a + b log N"
    parameters: tuple[str, ...] = ("a", "b")
    prior_weight = 0.3

    def features(self, params: Array, tokens: Array) -> Array:
        """Return (groups, 2)."""
        return np.stack([np.ones_like(params), np.log(params)], axis=1)


class CurvedLaw:
    """A parabola in log N: the exponent itself changes with the size, up or down, without end."""

    name = "curved"
    formula = "log F_c = a + b log N + q (log N/1B)^2"
    parameters = ("a", "b", "q")
    prior_weight = 0.45

    @property
    def prior(self) -> Mapping[str, tuple[float, tuple[float, ...]]]:
        """Mean and standard deviations to try of the curvature."""
        return {"q": _curvature()}

    @property
    def caution(self) -> float:
        """How much more it counts for the recommendation: where it is right, laws that go straight on go too high."""
        return CAUTION

    def features(self, params: Array, tokens: Array) -> Array:
        """Return (groups, 3)."""
        x = np.log(params)
        # d log F_c / d log N = b + 2 q (log N - log 1B): linear in the parameters, so least squares fits it.
        return np.stack([np.ones_like(x), x, (x - _CENTRE) ** 2], axis=1)


class ComputeLaw:
    """A power of the training compute, C = 6ND FLOPs (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""

    name = "compute"
    formula = "log F_c = a + b log 6ND"
    parameters = ("a", "b")
    axis = "frequency"
    prior_weight = 0.1

    def features(self, params: Array, tokens: Array) -> Array:
        """Return (groups, 2)."""
        # 6ND: two FLOPs for every weight and token forwards, four backwards.
        return np.stack([np.ones_like(params), np.log(6 * params * tokens)], axis=1)


class BudgetLaw:
    """A power of the model size and one of the token budget: needs two budgets at some size to tell them apart."""

    name = "budget"
    formula = "log F_c = a + b log N + c log D"
    parameters = ("a", "b", "c")
    axis = "frequency"  # c separates frequency from share: 0 or 1
    prior_weight = 2.0
    prior: Mapping[str, tuple[float, tuple[float, ...]]] = {"c": _OF_BUDGET}
    needs_budgets = True

    def features(self, params: Array, tokens: Array) -> Array:
        """Return (groups, 3)."""
        return np.stack([np.ones_like(params), np.log(params), np.log(tokens)], axis=1)


class CurvedBudgetLaw:
    """Powers of size and budget, with a curvature in log N."""

    name = "curved budget"
    formula = "log F_c = a + b log N + c log D + q (log N/1B)^2"
    parameters = ("a", "b", "c", "q")
    axis = "frequency"
    prior_weight = 1.0
    needs_budgets = True

    @property
    def prior(self) -> Mapping[str, tuple[float, tuple[float, ...]]]:
        """Mean and standard deviations to try of the exponent of D and of the curvature."""
        return {"c": _OF_BUDGET, "q": _curvature()}

    @property
    def caution(self) -> float:
        """How much more it counts for the recommendation."""
        return CAUTION

    def features(self, params: Array, tokens: Array) -> Array:
        """Return (groups, 4)."""
        x = np.log(params)
        return np.stack([np.ones_like(x), x, np.log(tokens), (x - _CENTRE) ** 2], axis=1)


class ShareLaw:
    """A constant share of the token budget, whatever the size: the baseline that fitted laws have to beat."""

    name = "share"
    formula = "log F_c = a"
    parameters = ("a",)
    axis = "share"
    prior_weight = 0.15

    def features(self, params: Array, tokens: Array) -> Array:
        """Return (groups, 1)."""
        return np.ones((len(params), 1))


class OffsetLaw(PowerLaw):
    """A power of the model size above an amount that every size takes: levels off where the plain power falls on."""

    name = "offset"
    formula = "F_c = F_0 + exp(a + b log N)"
    shape = "log F_0"
    prior_weight = 0.15

    def shapes(self, log_amounts: Array) -> Array:
        """Return log F_0 from a tenth of the smallest observed amount to nearly all of it."""
        return np.asarray(log_amounts.min() + np.log([0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 0.97]), dtype=np.float64)

    def bend(self, line: Array, shape: Array) -> tuple[Array, Array]:
        """Return log F_c and its slope by ``line``, a + b log N."""
        # log(exp(line) + F_0) without overflow; its slope is the first term's part of the sum.
        return np.logaddexp(line, shape), expit(line - shape)


class CeilingLaw(PowerLaw):
    """A power of the model size below an amount that no size exceeds: levels off where the plain power rises on."""

    name = "ceiling"
    formula = "1 / F_c = 1 / F_max + exp(-a - b log N)"
    shape = "log F_max"
    prior_weight = 0.2
    sharpness = 1.0

    def shapes(self, log_amounts: Array) -> Array:
        """Return log F_max from just above the greatest observed amount to eight times that."""
        return np.asarray(log_amounts.max() + np.log([1.03, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 8.0]), dtype=np.float64)

    def bend(self, line: Array, shape: Array) -> tuple[Array, Array]:
        """Return log F_c and its slope by ``line``, a + b log N."""
        k = self.sharpness
        # F_c^-k = F_max^-k + exp(-k line): a smooth minimum of line and ceiling, sharper with greater k.
        return -np.logaddexp(-k * line, -k * shape) / k, expit(k * (shape - line))


class SharpCeilingLaw(CeilingLaw):
    """A ceiling with a quicker end of the rise: hardly bent before, level soon after."""

    name = "sharp ceiling"
    formula = "1 / F_c^2 = 1 / F_max^2 + exp(-2a - 2b log N)"
    sharpness = 2.0


class AbruptCeilingLaw(CeilingLaw):
    """A ceiling that the rise reaches almost without notice."""

    name = "abrupt ceiling"
    formula = "1 / F_c^4 = 1 / F_max^4 + exp(-4a - 4b log N)"
    sharpness = 4.0


def built_in_laws() -> tuple[WeightedLaw, ...]:
    """Return one of each; simpler laws first, so that of two that say the same the simpler one is kept."""
    return (
        PowerLaw(), ShareLaw(), BudgetLaw(), CurvedLaw(), CurvedBudgetLaw(), ComputeLaw(), OffsetLaw(), CeilingLaw(),
        SharpCeilingLaw(), AbruptCeilingLaw(),
    )  # fmt: skip
