"""The efficiency of several models with intervals, as one result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_predict.efficiency.answers import ModelAnswers
from kis_predict.efficiency.joint_fit import LEAST_ALPHA, JointFit, exponent, fit, trials_of
from kis_predict.efficiency.weighted import waf, wasb

__all__ = ["LEAST_ANSWERS", "EfficiencyEstimate", "ModelEfficiency", "estimate"]

LEAST_ANSWERS = 50
"""Answers of a model below which nothing is fitted."""
Interval = tuple[float, float]
_AT_BOUND = 1e-6  # of alpha


@dataclass(frozen=True)
class ModelEfficiency:
    """How efficiently one model learned.

    Attributes:
        model: Its name.
        params: Its parameters; None where unknown.
        n: Answers.
        accuracy: Right ones among them.
        alpha: The exponent: the greater, the fewer times a fact has to be shown.
        alpha_interval: Of alpha, by bootstrap over facts.
        at_bound: Whether alpha is at its lower bound, 0.037: the answers hardly improve with how often facts are shown.
        waf: Weighted accuracy over all facts; None where no fact was shown.
        waf_interval: Of it; None likewise.
        wasb: Weighted accuracy over buckets of counts; None likewise.
        wasb_interval: Of it; None likewise.
    """

    model: str
    params: int | None
    n: int
    accuracy: float
    alpha: float
    alpha_interval: Interval
    at_bound: bool
    waf: float | None
    waf_interval: Interval | None
    wasb: float | None
    wasb_interval: Interval | None


@dataclass(frozen=True)
class EfficiencyEstimate:
    """The law of all models.

    Attributes:
        L0: Error that remains, shared by all models.
        L0_interval: Of it.
        x0: Error that showing removes, shared by all models.
        x0_interval: Of it.
        exponent: By what power of the parameters alpha grows; None below two sizes.
        models: Sorted by parameters and name.
        facts: Different facts.
        nats: Mean negative log-likelihood of an answer.
        confidence: Of each interval.
        bootstraps: Resampled sets of facts.
        seed: Of the resampling.
    """

    L0: float
    L0_interval: Interval
    x0: float
    x0_interval: Interval
    exponent: float | None
    models: tuple[ModelEfficiency, ...]
    facts: int
    nats: float
    confidence: float
    bootstraps: int
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"status": "ok", "law": "1 - (L0 + x0 / (1 + x)**alpha)", **asdict(self), "least_alpha": LEAST_ALPHA}


def estimate(answers: Sequence[ModelAnswers], confidence: float, bootstraps: int, seed: int) -> EfficiencyEstimate:
    """Fit the law to all models together, with intervals by bootstrap over facts.

    Models are probed about the same facts, so a resampled fact counts as often in each of them.

    Args:
        answers: Of each model.
        confidence: Of the intervals.
        bootstraps: Resampled sets of facts.
        seed: Of the resampling.

    Raises:
        KISError: A model with too few answers, or facts that were all shown equally often.
    """
    _refuse_too_few(answers)
    names = {fact: place for place, fact in enumerate(dict.fromkeys(f for model in answers for f in model.facts))}
    places = [np.array([names[fact] for fact in model.facts]) for model in answers]
    best = fit([trials_of(model) for model in answers])
    random = np.random.default_rng(seed)
    again: list[JointFit] = []
    weighted: list[list[tuple[float | None, float | None]]] = []
    for _ in range(bootstraps):
        drawn = np.bincount(random.integers(len(names), size=len(names)), minlength=len(names)).astype(np.float64)
        again.append(fit([trials_of(m, drawn[at]) for m, at in zip(answers, places, strict=True)], best))
        weighted.append([(waf(m, drawn[at]), wasb(m, drawn[at])) for m, at in zip(answers, places, strict=True)])
    models = []
    for number, model in enumerate(answers):
        scores = [[draw[number][kind] for draw in weighted] for kind in (0, 1)]
        models.append(
            ModelEfficiency(
                model=model.model,
                params=model.params,
                n=len(model.facts),
                accuracy=float(model.correct.mean()),
                alpha=best.alphas[number],
                alpha_interval=_interval([draw.alphas[number] for draw in again], confidence),
                at_bound=best.alphas[number] < LEAST_ALPHA + _AT_BOUND,
                waf=waf(model),
                waf_interval=_interval_if_any(scores[0], confidence),
                wasb=wasb(model),
                wasb_interval=_interval_if_any(scores[1], confidence),
            )
        )
    sizes = [model.params for model in answers if model.params is not None]
    return EfficiencyEstimate(
        L0=best.L0,
        L0_interval=_interval([draw.L0 for draw in again], confidence),
        x0=best.x0,
        x0_interval=_interval([draw.x0 for draw in again], confidence),
        exponent=exponent(sizes, best.alphas) if len(sizes) == len(answers) else None,
        models=tuple(models),
        facts=len(names),
        nats=best.nats,
        confidence=confidence,
        bootstraps=bootstraps,
        seed=seed,
    )


def _refuse_too_few(answers: Sequence[ModelAnswers]) -> None:
    problems = [
        Problem(model.model, f"{len(model.facts)} answers", f"{LEAST_ANSWERS} or more", "Raise retention.probes.facts.")
        for model in answers
        if len(model.facts) < LEAST_ANSWERS
    ]
    problems += [
        Problem(model.model, f"facts that were all shown {model.occurrences[0]:g} times", "facts shown unequally often")
        for model in answers
        if len(model.facts) >= LEAST_ANSWERS and len(np.unique(model.occurrences)) < 2
    ]
    if problems:
        raise KISError(problems)


def _interval(values: Sequence[float], confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    found: npt.NDArray[np.float64] = np.quantile(np.asarray(values, dtype=np.float64), [tail, 1 - tail])
    return float(found[0]), float(found[1])


def _interval_if_any(values: Sequence[float | None], confidence: float) -> Interval | None:
    known = [value for value in values if value is not None]
    return _interval(known, confidence) if known else None
