"""From runs to an answer: screen, estimate each size, fit the laws, read off the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kis_plugin.contracts import Law
from kis_plugin.errors import KISError, Problem
from kis_predict.across import Points
from kis_predict.advice import missing_runs
from kis_predict.amounts import short
from kis_predict.choice import Candidate, Sizes, fit_laws, mixture, quantile, surprising
from kis_predict.observed import ObservedRun
from kis_predict.prediction import Amount, LawReport, Prediction, Recommendation, Target
from kis_predict.sizes import SizeEstimate, estimate_sizes
from kis_predict.sweep import MOST_SHARE, Sweep, build_sweep

__all__ = ["Question", "predict"]

Array = npt.NDArray[np.float64]

_FAR = 10.0
_SIDE = {None: 0, "right": 1, "left": -1}


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        params: N of the target.
        tokens: D of the target, or None for the sweep's own rule.
        facts: Facts to be infused there, or None for as many as in the sweep.
        tokens_per_fact: Likewise.
        risk: Greatest probability of collapse to accept.
        confidence: Of the central intervals.
        bootstraps: Resampled data sets a size.
        seed: Of every random choice.
        max_loss_rise: Rise of general loss over the uninfused run that counts as forgetting, nats per token.
        axis: In what amounts compare across sizes: exposures per fact, the share of D, or whichever the held-out sizes
            favour.
        next_runs: How many further runs to name.
    """

    params: int
    tokens: int | None = None
    facts: int | None = None
    tokens_per_fact: float | None = None
    risk: float = 0.05
    confidence: float = 0.9
    bootstraps: int = 1000
    seed: int = 0
    max_loss_rise: float = 0.05
    axis: Literal["auto", "frequency", "share"] = "auto"
    next_runs: int = 0


def predict(runs: Sequence[ObservedRun], question: Question, laws: Mapping[str, Law]) -> Prediction:
    """Answer ``question`` from ``runs``.

    Raises:
        KISError: The sweep follows no rule for D and the question gives none, or a law that is not usable.
    """
    sweep = build_sweep(runs)
    sizes = tuple(estimate_sizes(sweep.groups, question.bootstraps, question.seed, question.confidence))
    warnings = [*sweep.warnings, *(warning for size in sizes for warning in size.warnings)]
    missing = missing_runs(sweep, sizes)
    if missing:
        return Prediction(
            "insufficient", Target(question.params, question.tokens), question.confidence, sizes,
            sweep.assumptions, tuple(warnings), missing=tuple(missing),
        )  # fmt: skip
    tokens, rule = _budget(question, sweep)
    where = Sizes(
        params=np.array([size.group.params for size in sizes], dtype=np.float64),
        tokens=np.array([size.group.tokens for size in sizes], dtype=np.float64),
        target=(float(question.params), float(tokens)),
    )
    points = _points(sizes, "collapse")
    candidates = fit_laws(laws, where, points, question.seed)
    if not candidates:
        raise KISError(Problem("laws", ", ".join(laws) or "none", "one that the observed sizes can settle"))
    peaks = fit_laws({c.law.name: c.law for c in candidates}, where, _points(sizes, "peak"), question.seed)
    draws, weights = mixture(candidates, question.seed)
    infused = _infused(question, sweep)
    a_fact = None if infused is None else infused / tokens  # share of D that one exposure of every fact takes
    collapse = _amount(draws, weights, question.confidence, a_fact)
    peak = _amount(*mixture(peaks, question.seed), question.confidence, a_fact) if peaks else None
    scale, scale_warning = _axis(question, sweep)
    limits = {
        "collapse risk": float(np.exp(quantile(draws, weights, question.risk))) * scale,
        "upper bound of the peak": peak.high * scale if peak else np.inf,
        f"share of {MOST_SHARE:g}": MOST_SHARE / a_fact if a_fact else np.inf,
    }
    binding = min(limits, key=lambda name: limits[name])
    frequency = limits[binding]
    chosen = candidates[0]
    observed = where.params[points.side == 0]
    extrapolation = question.params / float(observed.max())
    return Prediction(
        status="ok",
        target=Target(question.params, tokens),
        confidence=question.confidence,
        sizes=sizes,
        assumptions=(*sweep.assumptions, *rule, *_facts_assumed(question, sweep), *_scope(chosen)),
        warnings=(*warnings, *scale_warning, *_law_warnings(candidates, points, sizes, extrapolation, question)),
        collapse=collapse,
        peak=peak,
        recommendation=Recommendation(
            frequency=frequency,
            infused_tokens=None if infused is None else frequency * infused,
            share=None if a_fact is None else frequency * a_fact,
            risk=float(weights[draws < np.log(frequency / scale)].sum() / weights.sum()),
            binding=binding,
        ),
        law=_law_report(candidates, question.confidence),
        extrapolation=extrapolation,
    )


def _points(sizes: Sequence[SizeEstimate], what: str) -> Points:
    return Points(
        y=np.array([getattr(size, f"log_{what}") for size in sizes]),
        sd=np.array([getattr(size, f"log_{what}_sd") for size in sizes]),
        side=np.array([_SIDE[size.censored] for size in sizes]),
    )


def _amount(draws: Array, weights: Array, confidence: float, a_fact: float | None) -> Amount:
    low, middle, high = (
        float(np.exp(quantile(draws, weights, at))) for at in ((1 - confidence) / 2, 0.5, (1 + confidence) / 2)
    )
    return Amount(middle, low, high, None if a_fact is None else middle * a_fact)


def _budget(question: Question, sweep: Sweep) -> tuple[int, list[str]]:
    """Return D of the target, and the assumption if the sweep's rule gave it."""
    per_param = np.array([group.tokens / group.params for group in sweep.groups])
    tokens = np.array([group.tokens for group in sweep.groups], dtype=np.float64)
    if question.tokens is not None:
        return question.tokens, []
    if per_param.max() <= 1.05 * per_param.min():
        ratio = float(np.median(per_param))
        return round(ratio * question.params), [
            f"D = {short(ratio * question.params)} at the target: {short(ratio)} tokens per parameter, as in the sweep "
            "(--tokens)"
        ]
    if tokens.max() <= 1.05 * tokens.min():
        return int(np.median(tokens)), [f"D = {short(np.median(tokens))} at the target, as in every run (--tokens)"]
    found = f"sizes with {short(per_param.min())} to {short(per_param.max())} tokens per parameter"
    raise KISError(
        Problem("--tokens", f"nothing, and {found}", "the target's token budget", "For instance --tokens 140B.")
    )


def _infused(question: Question, sweep: Sweep) -> float | None:
    """Return the tokens of one exposure of every fact at the target."""
    facts = question.facts or sweep.facts
    size = question.tokens_per_fact or sweep.tokens_per_fact
    return None if facts is None or size is None else facts * size


def _facts_assumed(question: Question, sweep: Sweep) -> list[str]:
    lines = []
    if question.facts is None and sweep.facts is not None:
        lines.append(f"{sweep.facts:,} facts at the target, as in the sweep (--facts)")
    if question.tokens_per_fact is None and sweep.tokens_per_fact is not None:
        lines.append(f"{sweep.tokens_per_fact:.3g} tokens per exposure of a fact, as in the sweep (--tokens-per-fact)")
    if _infused(question, sweep) is None:
        lines.append("Infused tokens and share are not given: they need --facts and --tokens-per-fact")
    return lines


def _axis(question: Question, sweep: Sweep) -> tuple[float, list[str]]:
    """Return by what the risk limit is scaled where the target infuses more fact tokens than the sweep, and why.

    Whether exposures per fact or the share of D decides is not known. Both agree while facts and their length stay as
    in the sweep; with more of them the share reaches its limit at fewer exposures: the smaller amount is the safe one.
    """
    target = _infused(question, sweep)
    if target is None or sweep.facts is None or sweep.tokens_per_fact is None:
        if question.facts or question.tokens_per_fact:
            return 1.0, [
                "The sweep's own facts are unknown or differ: exposures per fact are taken to carry over to --facts"
            ]
        return 1.0, []
    ratio = sweep.facts * sweep.tokens_per_fact / target
    if 0.98 <= ratio <= 1.02:
        return 1.0, []
    text = (
        f"The target infuses {short(target)} tokens an exposure of all facts, the sweep "
        f"{short(target * ratio)}: whether exposures or the share decide is then a guess"
    )
    if ratio < 1:
        return ratio, [f"{text}, and the recommendation keeps the share's limit, {1 / ratio:.3g} times lower"]
    return 1.0, [f"{text}, and the recommendation keeps the limit on exposures"]


def _scope(chosen: Candidate) -> list[str]:
    return [
        f"The law holds up to the target: {chosen.law.formula}",
        "Data, tokenizer, templates, schedule and training recipe at the target are those of the sweep",
    ]


def _law_report(candidates: Sequence[Candidate], confidence: float) -> LawReport:
    chosen = candidates[0]
    tail = ((1 - confidence) / 2, (1 + confidence) / 2)
    fit = chosen.fit
    return LawReport(
        name=chosen.law.name,
        formula=chosen.law.formula,
        parameters={name: float(value) for name, value in zip(chosen.law.parameters, fit.beta, strict=True)},
        intervals={
            name: (quantile(fit.betas[:, at], fit.weights, tail[0]), quantile(fit.betas[:, at], fit.weights, tail[1]))
            for at, name in enumerate(chosen.law.parameters)
        },
        holdout_error=None if chosen.holdout is None else float(abs(np.expm1(chosen.holdout))),
        others={candidate.law.name: candidate.weight for candidate in candidates},
    )


def _law_warnings(
    candidates: Sequence[Candidate],
    points: Points,
    sizes: Sequence[SizeEstimate],
    extrapolation: float,
    question: Question,
) -> list[str]:
    chosen = candidates[0]
    lines = [
        f"{sizes[at].group.label()} does not fit the law through the other sizes: look at its runs"
        for at in surprising(chosen, points, question.seed)
    ]
    if extrapolation > _FAR:
        lines.append(f"The target is {extrapolation:.3g} times the largest size with an observed collapse")
    if chosen.holdout is not None and abs(chosen.holdout) > np.log(2):
        lines.append("The largest size was missed by more than a factor of 2 when left out")
    at_target = [candidate.fit.at(candidate.row) for candidate in candidates]
    if max(at_target) - min(at_target) > np.log(1.25):
        told = zip(candidates, at_target, strict=True)
        values = ", ".join(f"{candidate.law.name} {short(np.exp(value))}" for candidate, value in told)
        lines.append(f"The laws differ at the target: {values}; their spread is in the interval")
    return lines
