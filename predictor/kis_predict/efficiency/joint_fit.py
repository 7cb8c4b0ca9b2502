"""One exponent for each model, with the constants of the law shared by all: Christoph et al. 2025 (arXiv 2506.16912).

    P(correct | x) = 1 - (L0 + x0 / (1 + x) ** alpha)

``x`` is how often training showed a fact. The paper's code (``psf_nll_optimization.py``) minimises the negative
log-likelihood of all models' answers together, each answer a Bernoulli trial, with one ``alpha`` of at least 0.037 for
each model and one ``L0`` and ``x0``, both at least 0, for all. Only so do alphas of different models compare: fitted
alone, a smaller ``x0`` can make up for a smaller ``alpha``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from kis_predict.efficiency.answers import ModelAnswers

__all__ = ["LEAST_ALPHA", "JointFit", "Trials", "exponent", "fit", "trials_of"]

FloatArray = npt.NDArray[np.float64]

LEAST_ALPHA = 0.037
"""The lower bound of alpha in the paper's code."""
_TINY = 1e-10  # the paper's code keeps probabilities this far from 0 and 1
_STARTS = ((0.07, 0.0, 1.0), (0.07, 0.05, 0.7), (0.5, 0.1, 0.6))  # alpha, L0, x0; the first is the paper's
_STRICT: Any = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000, "maxfun": 100_000}


@dataclass(frozen=True)
class Trials:
    """The answers of one model, by how often the fact was shown.

    Attributes:
        log1p: (values,) log(1 + x) of the distinct x.
        right: (values,) right answers at each; need not be whole.
        wrong: (values,) wrong ones.
    """

    log1p: FloatArray
    right: FloatArray
    wrong: FloatArray


@dataclass(frozen=True)
class JointFit:
    """The law as fitted.

    Attributes:
        alphas: (models,) one for each model.
        L0: Error that remains however often a fact is shown, for all models.
        x0: Error that showing removes, for all models.
        nats: Mean negative log-likelihood of an answer.
    """

    alphas: tuple[float, ...]
    L0: float
    x0: float
    nats: float


def trials_of(answers: ModelAnswers, weights: FloatArray | None = None) -> Trials:
    """Return the answers of a model as trials.

    Args:
        answers: Its answers.
        weights: (n,) how often each counts; once each if not given.
    """
    values, group = np.unique(answers.occurrences, return_inverse=True)
    group = group.ravel()
    counted = np.ones(len(group)) if weights is None else weights
    total = np.bincount(group, counted, len(values)).astype(np.float64)
    right = np.bincount(group, counted * answers.correct, len(values)).astype(np.float64)
    return Trials(np.log1p(values), right, total - right)


def fit(models: Sequence[Trials], start: JointFit | None = None) -> JointFit:
    """Fit the law to the answers of all models together, by maximum likelihood.

    Args:
        models: The answers of each.
        start: Where to begin; by default at several points, of which the best result counts.
    """
    count = len(models)
    answers = sum(float(trials.right.sum() + trials.wrong.sum()) for trials in models)
    bounds = [*[(LEAST_ALPHA, None)] * count, (0.0, None), (0.0, None)]
    starts = [[*[alpha] * count, L0, x0] for alpha, L0, x0 in _STARTS]
    if start is not None:
        starts = [[*start.alphas, start.L0, start.x0]]
    found = [
        minimize(_nats, first, (models, answers), "L-BFGS-B", jac=True, bounds=bounds, options=_STRICT)
        for first in starts
    ]
    best = min(found, key=lambda result: float(result.fun))
    *alphas, L0, x0 = map(float, best.x)
    return JointFit(tuple(alphas), L0, x0, float(best.fun))


def exponent(params: Sequence[int], alphas: Sequence[float]) -> float | None:
    """Return by what power of the model's size alpha grows (least squares of logs); None below two sizes."""
    if len(set(params)) < 2:
        return None
    return float(np.polyfit(np.log(params), np.log(alphas), 1)[0])


def _nats(parameters: FloatArray, models: Sequence[Trials], answers: float) -> tuple[float, FloatArray]:
    """Return the mean negative log-likelihood of an answer, and its gradient by alphas, L0 and x0."""
    L0, x0 = parameters[-2:]
    total, gradient = 0.0, np.zeros(len(parameters))
    for place, trials in enumerate(models):
        power = np.exp(-parameters[place] * trials.log1p)  # (1 + x) ** -alpha
        plain = L0 + x0 * power
        error = np.clip(plain, _TINY, 1 - _TINY)
        total -= trials.right @ np.log1p(-error) + trials.wrong @ np.log(error)
        # Where the probability is held at its bound the likelihood does not depend on the parameters.
        by_error = np.where(plain == error, trials.right / (1 - error) - trials.wrong / error, 0.0)
        gradient[place] = by_error @ (-x0 * trials.log1p * power)
        gradient[-2] += by_error.sum()
        gradient[-1] += by_error @ power
    return total / answers, gradient / answers
