"""How efficiently a model learns facts: the probability of a right answer by how often training showed the fact.

The law of Christoph et al. 2025 (arXiv 2506.16912)::

    P(correct | x) = 1 - (L0 + x0 / (1 + x) ** alpha)

``x`` is how often a fact occurred, ``L0`` the error that remains, ``L0 + x0`` that on facts that never occurred,
``alpha`` how quickly occurrences reduce the error: the greater, the more efficient the model. There is no correction
for chance: among ``k`` options a random answer is right with probability 1 / k, so a model that learnt nothing has
``L0 + x0 = 1 - 1 / k``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize
from scipy.stats import chi2

__all__ = ["Efficiency", "Undetermined", "accuracy_at", "learning_efficiency"]

FloatArray = npt.NDArray[np.float64]

MIN_FACTS = 50
"""Facts below which nothing is fitted."""
ALPHA = (0.01, 10.0)
"""The range of alpha: below, the law is flat over any realistic counts; above, it is a step between 0 and 1."""

_NAMES = ("L0", "x0", "alpha")
_LEVEL = 0.05  # of the test that accuracy depends on x at all
_STRICT: Any = {"ftol": 1e-13, "gtol": 1e-9, "maxiter": 500}  # for the optimiser
_TINY = 1e-9  # probabilities are kept this far from 0 and 1


@dataclass(frozen=True)
class Efficiency:
    """The law as fitted.

    Attributes:
        L0: Error that remains however often a fact occurs: in [0, 1].
        x0: Error that occurrences remove: in [0, 1 - L0].
        alpha: The exponent.
        low: Lower ends of the intervals, by parameter.
        high: Upper ends; None where the data give no bound within ``ALPHA``.
        confidence: Of each single interval.
        n: Answers.
        p: P value of the likelihood-ratio test that accuracy does not depend on x.
    """

    L0: float
    x0: float
    alpha: float
    low: Mapping[str, float]
    high: Mapping[str, float | None]
    confidence: float
    n: int
    p: float

    @property
    def asymptote(self) -> float:
        """Accuracy on facts that occur infinitely often."""
        return 1 - self.L0

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "asymptote": self.asymptote}


@dataclass(frozen=True)
class Undetermined:
    """The law cannot be fitted.

    Attributes:
        reason: Why.
        n: Answers.
    """

    reason: str
    n: int

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def accuracy_at(x: npt.ArrayLike, L0: float, x0: float, alpha: float) -> FloatArray:
    """Return P(correct | x): the shape of ``x``."""
    return 1 - (L0 + x0 * np.exp(-alpha * np.log1p(np.asarray(x, dtype=np.float64))))


def learning_efficiency(
    correct: npt.NDArray[np.bool_], x: npt.NDArray[Any], confidence: float = 0.95
) -> Efficiency | Undetermined:
    """Fit the law by maximum likelihood, taking answers as independent.

    Intervals are by the profile likelihood (Venzon and Moolgavkar 1988, Applied Statistics 37): the values of a
    parameter at which the others can be chosen so that twice the log-likelihood is less than a quantile of chi-squared
    with one degree of freedom below its maximum. At the bounds of the parameters they are conservative.

    Args:
        correct: (n,) whether each answer was right.
        x: (n,) how often training showed each fact, not negative; need not be whole.
        confidence: Of the intervals.

    Returns:
        The law; or why it cannot be fitted: too few answers, counts that do not vary, or answers that do not improve
        with them (likelihood-ratio test against a constant accuracy, two degrees of freedom, at 0.05).
    """
    n = len(correct)
    # The likelihood depends on the answers only through the right and wrong ones at each distinct x.
    values, group = np.unique(np.asarray(x, dtype=np.float64), return_inverse=True)
    if n < MIN_FACTS:
        return Undetermined(f"{n} answers, fewer than {MIN_FACTS}", n)
    if len(values) < 3:
        return Undetermined(f"the facts occur equally often: {len(values)} different counts, fewer than 3", n)
    right: FloatArray = np.bincount(group.ravel(), weights=np.asarray(correct, dtype=np.float64)).astype(np.float64)
    wrong: FloatArray = np.bincount(group.ravel()).astype(np.float64) - right
    likelihood = _Likelihood(np.log1p(values), right, wrong)
    best = likelihood.best()
    p = float(chi2.sf(2 * max(likelihood.flat() - best[0], 0.0), 2))
    if p >= _LEVEL:
        return Undetermined(f"the answers do not improve with how often facts occur (p = {p:.2g})", n)
    found = dict(zip(_NAMES, best[1], strict=True))
    ends = {name: likelihood.interval(name, best, confidence) for name in _NAMES}
    return Efficiency(
        **found,
        low={name: low for name, (low, _) in ends.items()},
        high={name: high for name, (_, high) in ends.items()},
        confidence=confidence,
        n=n,
        p=p,
    )


_Best = tuple[float, tuple[float, float, float]]
"""The least negative log-likelihood, and the parameters there."""
_Parameters = Callable[[Any], tuple[float, float, float]]


@dataclass(frozen=True)
class _Likelihood:
    """Minus the log-likelihood.

    Attributes:
        log1p: (values,) log(1 + x) of the distinct x.
        right: (values,) right answers at each.
        wrong: (values,) wrong ones.
    """

    log1p: FloatArray
    right: FloatArray
    wrong: FloatArray

    def flat(self) -> float:
        """Return its value for a constant accuracy."""
        right, wrong = self.right.sum(), self.wrong.sum()
        rate = np.clip(right / (right + wrong), _TINY, 1 - _TINY)
        return float(-right * np.log(rate) - wrong * np.log1p(-rate))

    def best(self, name: str = "", value: float = 0.0) -> _Best:
        """Return the best parameters, all of them free or one fixed at a value.

        Free ones are expressed by coordinates in a box: the whole error ``L0 + x0`` and the part of it that is ``L0``;
        where one of them is fixed, the fraction of the remaining range that the other takes; and the logarithm of
        alpha. The likelihood can have several maxima, so the search starts from many points.
        """
        parameters, bounds, starts = _box(name, value)
        found = [
            minimize(self._loss, start, args=(parameters,), method="L-BFGS-B", bounds=bounds, options=_STRICT)
            for start in starts
        ]
        least = min(found, key=lambda result: float(result.fun))
        L0, x0, alpha = parameters(least.x)
        return float(least.fun), (float(L0), float(x0), float(alpha))

    def interval(self, name: str, best: _Best, confidence: float) -> tuple[float, float | None]:
        """Return the ends of one parameter's interval; an upper end that the data do not determine is None."""
        limit = best[0] + chi2.ppf(confidence, 1) / 2
        at = best[1][_NAMES.index(name)]
        bottom, top = ALPHA if name == "alpha" else (0.0, 1.0)

        def above(value: float) -> float:
            return self.best(name, value)[0] - limit

        low = bottom if above(bottom) <= 0 else float(brentq(above, bottom, at, xtol=1e-4))
        if above(top) > 0:
            return low, float(brentq(above, at, top, xtol=1e-4))
        return low, None if name == "alpha" else top

    def _loss(self, box: FloatArray, parameters: _Parameters) -> float:
        L0, x0, alpha = parameters(box)
        error = np.clip(L0 + x0 * np.exp(-alpha * self.log1p), _TINY, 1 - _TINY)
        return float(-(self.right @ np.log1p(-error)) - self.wrong @ np.log(error))


def _box(name: str, value: float) -> tuple[_Parameters, list[tuple[float, float]], list[FloatArray]]:
    """Return the map from the box of free coordinates to the parameters, the box, and the points to start from."""
    unit, logs = (0.0, 1.0), (float(np.log(ALPHA[0])), float(np.log(ALPHA[1])))
    errors, parts, alphas = (0.3, 0.8), (0.1, 0.6), np.log((0.1, 0.5, 2.0)).tolist()
    kinds: dict[str, tuple[_Parameters, list[tuple[float, float]], tuple[Any, ...]]] = {
        "": (
            lambda box: (box[0] * box[1], box[0] * (1 - box[1]), np.exp(box[2])), [unit, unit, logs],
            (errors, parts, alphas),
        ),
        "L0": (lambda box: (value, (1 - value) * box[0], np.exp(box[1])), [unit, logs], (parts, alphas)),
        "x0": (lambda box: ((1 - value) * box[0], value, np.exp(box[1])), [unit, logs], (parts, alphas)),
        "alpha": (lambda box: (box[0] * box[1], box[0] * (1 - box[1]), value), [unit, unit], (errors, parts)),
    }  # fmt: skip
    parameters, bounds, starts = kinds[name]
    return parameters, bounds, [np.array(start) for start in product(*starts)]
