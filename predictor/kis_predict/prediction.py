"""The answer, as plain data: what the report shows and what ``--json`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.request import PredictionRequest

__all__ = [
    "Amount",
    "AxisReport",
    "Forgetting",
    "LawReport",
    "NextRun",
    "Prediction",
    "PrefixError",
    "Recommendation",
    "Retained",
    "Sensitivity",
    "Target",
]


@dataclass(frozen=True)
class Target:
    """The large run: N, and D where it is known."""

    params: int
    tokens: int | None


@dataclass(frozen=True)
class Amount:
    """A predicted infusion frequency with its interval, and its share, None if facts are unknown."""

    frequency: float
    low: float
    high: float
    share: float | None


@dataclass(frozen=True)
class Recommendation:
    """How much to infuse.

    Attributes:
        frequency: Exposures per fact.
        infused_tokens: Over all facts, None if they are unknown.
        share: Of D, likewise.
        risk: Predicted probability that the collapse point lies below ``frequency``.
        binding: What kept it from being greater.
    """

    frequency: float
    infused_tokens: float | None
    share: float | None
    risk: float
    binding: str


@dataclass(frozen=True)
class LawReport:
    """The law with the greatest weight, or a straight one with half of that.

    Attributes:
        name: As registered.
        formula: For people.
        parameters: By name; natural logarithms inside.
        intervals: Of the parameters.
        holdout_error: |predicted / observed - 1| of F_c at the largest observed size, fitted without it; None if the
            other sizes are too few for the law.
        others: Weights of all laws in the prediction, by name, summing to 1.
    """

    name: str
    formula: str
    parameters: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    holdout_error: float | None
    others: Mapping[str, float]


@dataclass(frozen=True)
class Forgetting:
    """The greatest amount that keeps general loss near that of the uninfused run.

    Attributes:
        max_loss_rise: What counts as near, nats per token.
        frequency: At the target; None where the logs do not determine it; ``reason`` says why.
        low: Its interval.
        high: Its interval; infinite where no tested amount of any size reaches the rise, and ``low`` is a bound.
        share: Of D, None if facts are unknown.
        holdout_error: As ``LawReport.holdout_error``.
        reason: What is missing; empty where nothing is.
    """

    max_loss_rise: float
    frequency: float | None = None
    low: float | None = None
    high: float | None = None
    share: float | None = None
    holdout_error: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class AxisReport:
    """In what the law was fitted: exposures per fact, or infused tokens / D.

    Attributes:
        name: The axis with the greater weight.
        holdout_errors: |predicted / observed - 1| of the largest size by axis, from the smaller ones; None where an
            axis cannot be judged.
        reason: Why this one.
        odds: How much better it predicts larger sizes from smaller ones, as a ratio of probabilities; None if the sweep
            does not tell the axes apart.
        by_rule: Share of D that one exposure of every fact would take at the target by the sweep's own facts and
            budgets, where these do not tell the axes apart.
        weights: Of the laws on each axis, summing to 1, but for laws with an exponent of D, which take no side.
    """

    name: Literal["frequency", "share"]
    holdout_errors: Mapping[str, float | None]
    reason: str
    odds: float | None = None
    by_rule: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PrefixError:
    """What the laws, fitted and weighed on the smaller sizes alone, predict for one size.

    Attributes:
        params: N of the size.
        sizes: Sizes with an observed collapse below it.
        log_error: log(predicted / observed); of several budgets, the one of greatest magnitude.
        distance: log(N / largest N of the prefix).
        baseline: The same error of the constant share, None where it is not among the laws.
    """

    params: float
    sizes: int
    log_error: float
    distance: float
    baseline: float | None = None


@dataclass(frozen=True)
class Retained:
    """Expected held-out retention at one amount.

    Attributes:
        frequency: F.
        retention: Median.
        low: Its interval.
        high: Its interval.
        of_peak: Height above chance as a part of the peak's, median.
    """

    frequency: float
    retention: float
    low: float
    high: float
    of_peak: float


@dataclass(frozen=True)
class Sensitivity:
    """The recommended amount with one constant of the method halved and doubled; None where it is then refused."""

    constant: str
    value: float
    halved: float | None
    doubled: float | None


@dataclass(frozen=True)
class NextRun:
    """A run that would shrink the target's interval.

    Attributes:
        params: N.
        tokens: D.
        frequency: F.
        flops: Its cost, 6ND (Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
        width: Expected width of the target's interval, on the log scale, after this run and those before it in the
            list, as a part of the present one; infinite while the evidence gives no interval.
    """

    params: int
    tokens: int
    frequency: float
    flops: float
    width: float


@dataclass(frozen=True)
class Prediction:
    """The whole answer. If ``insufficient``, nothing is recommended, and ``missing`` says why and what would help.

    ``collapse``, ``peak`` and ``law`` are then there only where the laws support them, and the recommended amount alone
    would be no guide: where general loss, say, bears less than retention takes to rise.

    Attributes:
        points: Critical points that the answer rests on where no runs were given; 0 otherwise.
        retained: Expected held-out retention at the recommended amount, at half and at double of it.
        prefix_errors: Predictions of each size from the smaller ones alone.
        supported: How many times the largest size a target may have by these errors.
        method: Version and constants of the method.
        sensitivity: How the answer moves with each constant, where requested.
    """

    status: Literal["ok", "insufficient"]
    target: Target
    confidence: float
    sizes: tuple[SizeEstimate, ...]
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]
    collapse: Amount | None = None
    peak: Amount | None = None
    recommendation: Recommendation | None = None
    law: LawReport | None = None
    extrapolation: float | None = None
    missing: tuple[str, ...] = ()
    forgetting: Forgetting | None = None
    binding: Literal["collapse", "forgetting"] | None = None
    axis: AxisReport | None = None
    next_runs: tuple[NextRun, ...] = ()
    retained: tuple[Retained, ...] = ()
    prefix_errors: tuple[PrefixError, ...] = ()
    supported: float | None = None
    method: Mapping[str, Any] = field(default_factory=dict)
    sensitivity: tuple[Sensitivity, ...] = ()
    request: PredictionRequest | None = None
    points: int = 0
