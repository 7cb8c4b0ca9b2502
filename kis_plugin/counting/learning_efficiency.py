"""How efficiently a model learns facts: the probability of a right answer by how often the training data told the fact.

The law of Christoph et al. 2025 (arXiv 2506.16912)::

    P(correct | x) = 1 - (L0 + x0 / (1 + x) ** alpha)

``x`` is how often a fact occurred, ``L0`` the part that is never learnt, ``L0 + x0`` the error where it never occurred,
``alpha`` how quickly occurrences bring the error down: the greater, the more efficient the model. Chance is not taken
out: of ``k`` options a blind answer is right 1 / k of the time, so a model that learnt nothing shows
``L0 + x0 = 1 - 1 / k``, and P is fitted as it is.
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

__all__ = ["Efficiency", "NotTold", "accuracy_at", "efficiency"]

FloatArray = npt.NDArray[np.float64]

FEWEST = 50
"""Facts below which nothing is fitted."""
ALPHA = (0.01, 10.0)
"""Where alpha is looked for: below, the law is flat over any counts one meets; above, it is a step from 0 to 1."""

_NAMES = ("L0", "x0", "alpha")
_LEVEL = 0.05  # of the test that accuracy hangs on x at all
_STRICT: Any = {"ftol": 1e-13, "gtol": 1e-9, "maxiter": 500}  # for the optimiser
_TINY = 1e-9  # probabilities are kept this far from 0 and 1


@dataclass(frozen=True)
class Efficiency:
    """The law as fitted.

    Attributes:
        L0: Error that is left however often a fact occurs: in [0, 1].
        x0: Error that occurrences take away: in [0, 1 - L0].
        alpha: The exponent.
        low: Lower ends of the intervals, by parameter.
        high: Upper ends; None where the data set no bound within ``ALPHA``.
        confidence: Of each interval, by itself.
        n: Answers.
        p: Of the likelihood-ratio test that accuracy does not hang on x.
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
        """Accuracy on facts that occur without end."""
        return 1 - self.L0

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "asymptote": self.asymptote}


@dataclass(frozen=True)
class NotTold:
    """There is no telling how efficient the model is.

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


def efficiency(correct: npt.NDArray[np.bool_], x: npt.NDArray[Any], confidence: float = 0.95) -> Efficiency | NotTold:
    """Fit the law by maximum likelihood, each answer a draw of its own.

    Intervals are by the profile likelihood: the values of a parameter at which the others can be chosen so that twice
    the log-likelihood lies less than a quantile of chi-squared with one degree of freedom below its maximum. At the
    bounds of the parameters they are wider than they need be.

    Args:
        correct: (n,) whether each answer was right.
        x: (n,) how often the training data told each fact, not negative; need not be whole.
        confidence: Of the intervals.

    Returns:
        The law; or why it cannot be told: too few answers, counts that do not vary, or answers that do not get
        better with them (the likelihood-ratio test against one accuracy for all, two degrees of freedom, at 0.05).
    """
    n = len(correct)
    values, group = np.unique(np.asarray(x, dtype=np.float64), return_inverse=True)
    if n < FEWEST:
        return NotTold(f"{n} answers, fewer than {FEWEST}", n)
    if len(values) < 3:
        return NotTold(f"the facts occur equally often: {len(values)} different counts, fewer than 3", n)
    right: FloatArray = np.bincount(group.ravel(), weights=np.asarray(correct, dtype=np.float64)).astype(np.float64)
    wrong: FloatArray = np.bincount(group.ravel()).astype(np.float64) - right
    likelihood = _Likelihood(np.log1p(values), right, wrong)
    best = likelihood.best()
    p = float(chi2.sf(2 * max(likelihood.flat() - best[0], 0.0), 2))
    if p >= _LEVEL:
        return NotTold(f"the answers do not get better with how often facts occur (p = {p:.2g})", n)
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
        log1p: (values,) of the different x.
        right: (values,) right answers at each.
        wrong: (values,) wrong ones.
    """

    log1p: FloatArray
    right: FloatArray
    wrong: FloatArray

    def flat(self) -> float:
        """Return what one accuracy for all gives."""
        right, wrong = self.right.sum(), self.wrong.sum()
        rate = np.clip(right / (right + wrong), _TINY, 1 - _TINY)
        return float(-right * np.log(rate) - wrong * np.log1p(-rate))

    def best(self, name: str = "", value: float = 0.0) -> _Best:
        """Return the best parameters, all of them free or one held at a value.

        Free ones live in a box: the whole error ``L0 + x0`` where neither is held, the part of what room there is
        else, and the logarithm of alpha. The likelihood can have several hills, so it is climbed from many places.
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
        """Return the ends of one parameter's interval; an upper end that the data do not set is None."""
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
    """Return what makes parameters of a point in the box of the free ones, the box, and places to start from."""
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
