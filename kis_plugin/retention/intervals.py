"""How precise an accuracy is: Wilson intervals, and the design effect of facts with several questions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from kis_plugin.hashing import IntArray

__all__ = ["difference", "effective_questions", "least_above", "wilson"]


def wilson(accuracy: float, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of an accuracy over ``n`` independent questions.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22.
    """
    low, high = binomtest(min(round(accuracy * n), n), n).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


def difference(first: tuple[float, float, float], second: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return by how much one accuracy exceeds another, with the 95 % interval of the difference.

    The interval combines two Wilson intervals (Newcombe 1998, "Interval estimation for the difference between
    independent proportions", Statistics in Medicine 17, method 10).

    Args:
        first: An accuracy with the ends of its interval.
        second: The one that is taken from it, likewise.
    """
    (accuracy, low, high), (other, other_low, other_high) = first, second
    value = accuracy - other
    below, above = np.hypot(accuracy - low, other_high - other), np.hypot(high - accuracy, other - other_low)
    return value, value - float(below), value + float(above)


def least_above(facts: int, control: int, chance: float) -> float | None:
    """Return the least accuracy whose difference to controls at chance has an interval above 0; None if none has.

    Args:
        facts: Independent questions of the accuracy.
        control: Of the controls.
        chance: Their accuracy.
    """
    guessed = round(chance * control) / control
    controls = (guessed, *wilson(guessed, control))
    for right in range(facts + 1):
        accuracy = right / facts
        if difference((accuracy, *wilson(accuracy, facts)), controls)[1] > 0:
            return accuracy
    return None


def effective_questions(correct: npt.NDArray[np.bool_], facts: IntArray) -> float:
    """Return how many independent questions are as informative as these, where several may be about one fact.

    The number of questions over the design effect of facts as clusters (Rao and Scott 1992, Biometrics 48, equation
    2). It lies between the number of facts, where a fact's questions are always all right or all wrong, and that of
    questions.

    Args:
        correct: (questions,) whether the answer was right.
        facts: (questions,) the fact that each is about.
    """
    n = len(correct)
    _, of_fact = np.unique(facts, return_inverse=True)
    per_fact = np.bincount(of_fact)  # (facts,) questions
    clusters, accuracy = len(per_fact), float(correct.mean())
    if clusters == n:
        return float(n)
    if clusters == 1 or accuracy in {0.0, 1.0}:
        return float(clusters)  # no variance to estimate the effect from: assume the strongest
    residual = np.bincount(of_fact, weights=correct) - accuracy * per_fact  # (facts,) right answers beyond expectation
    # Variance of a ratio estimator over clusters; binomial variance over it is the effective number.
    variance = clusters / (clusters - 1) * float(residual @ residual) / n**2
    return float(np.clip(accuracy * (1 - accuracy) / variance if variance else n, clusters, n))
