"""From runs to an answer: screen, estimate each size, fit the laws, read off the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from kis_plugin.amounts import short
from kis_plugin.errors import KISError, Problem
from kis_predict.curves.size_estimates import SizeEstimate, estimate_sizes
from kis_predict.design.fallback_runs import fallback_runs
from kis_predict.design.missing_runs import missing_runs
from kis_predict.design.next_runs import next_runs
from kis_predict.laws.axis import choose_axis, share_of_one_exposure
from kis_predict.laws.forgetting import forgetting_limit
from kis_predict.laws.points import Points
from kis_predict.laws.selection import Candidate, Sizes, fit_laws, mixture, quantile, surprising
from kis_predict.laws.size_points import points_of
from kis_predict.laws.target import budget, exposures_or_share, facts_assumed, infused_tokens
from kis_predict.observed import ObservedRun
from kis_predict.prediction import Amount, AxisReport, LawReport, NextRun, Prediction, Recommendation, Target
from kis_predict.protocols import BentLaw, Law
from kis_predict.request import PredictionRequest
from kis_predict.sweep import MOST_SHARE, build_sweep

__all__ = ["PredictionRequest", "predict"]

Array = npt.NDArray[np.float64]

_FAR = 10.0
_IN_DOUBT = 0.25
_PLAIN_ODDS = 10.0


def predict(runs: Sequence[ObservedRun], request: PredictionRequest, laws: Mapping[str, Law]) -> Prediction:
    """Answer ``request`` from ``runs``.

    Raises:
        KISError: The sweep follows no rule for D and the request gives none, or a law that is not usable.
    """
    sweep = build_sweep(runs)
    sizes = tuple(estimate_sizes(sweep.groups, request.bootstraps, request.seed, request.confidence))
    warnings = [*sweep.warnings, *(warning for size in sizes for warning in size.warnings)]
    missing = missing_runs(sweep, sizes)
    if missing:
        return Prediction(
            "insufficient", Target(request.params, request.tokens), request.confidence, sizes,
            sweep.assumptions, tuple(warnings), missing=tuple(missing),
            next_runs=fallback_runs(sweep, sizes, request.next_runs, request.new_sizes),
        )  # fmt: skip
    tokens, rule = budget(request, sweep)
    where = Sizes(
        params=np.array([size.group.params for size in sizes], dtype=np.float64),
        tokens=np.array([size.group.tokens for size in sizes], dtype=np.float64),
        target=(float(request.params), float(tokens)),
    )
    infused = infused_tokens(request, sweep)
    a_fact = None if infused is None else infused / tokens  # share of D that one exposure of every fact takes
    per_exposure = share_of_one_exposure(sizes)
    axis = choose_axis(
        request.axis, laws, where, points_of(sizes, "collapse"), per_exposure, a_fact is not None, request.seed
    )
    # The law's amounts are log F plus this: 0, or the log share of one exposure, at the groups and at the target.
    unit, unit_there = np.zeros(len(sizes)), 0.0
    if axis.name == "share" and per_exposure is not None and a_fact is not None:
        unit, unit_there = np.log(per_exposure), float(np.log(a_fact))
    points = points_of(sizes, "collapse", unit)
    candidates = fit_laws(laws, where, points, request.seed)
    if not candidates:
        raise KISError(Problem("laws", ", ".join(laws) or "none", "one whose parameters the observed sizes determine"))
    peaks = fit_laws({c.law.name: c.law for c in candidates}, where, points_of(sizes, "peak", unit), request.seed)
    draws, weights = mixture(candidates, request.seed)
    # A slow decline before the collapse leaves two readings of all sizes at once: half of the draws use the lower one.
    earlier = max(size.earlier for size in sizes) * (np.arange(len(draws)) % 2)
    draws = draws - unit_there - earlier
    collapse = _amount(draws, weights, request.confidence, a_fact)
    peak = None
    if peaks:
        peak_draws, peak_weights = mixture(peaks, request.seed)
        peak = _amount(peak_draws - unit_there - earlier[: len(peak_draws)], peak_weights, request.confidence, a_fact)
    forgetting, within_loss = forgetting_limit(sweep, laws, where.target, a_fact, request)
    scale, scale_warning = exposures_or_share(request, axis, a_fact)
    limits = {
        "collapse risk": float(np.exp(quantile(draws, weights, request.risk))) * scale,
        "upper bound of the peak": peak.high * scale if peak else np.inf,
        "rise of general loss": within_loss * scale,
        f"share of {MOST_SHARE:g}": MOST_SHARE / a_fact if a_fact else np.inf,
    }
    binding = min(limits, key=lambda name: limits[name])
    frequency = limits[binding]
    chosen = candidates[0]
    more: tuple[NextRun, ...] = ()
    if request.next_runs:
        by_share = axis.name == "share"
        largest = request.params if request.new_sizes else 0
        more = next_runs(sizes, points, chosen, request.next_runs, largest, by_share, request.per_flop)
    extrapolation = request.params / float(where.params[points.side == 0].max())
    return Prediction(
        status="ok",
        target=Target(request.params, tokens),
        confidence=request.confidence,
        sizes=sizes,
        assumptions=(*sweep.assumptions, *rule, *facts_assumed(request, sweep), *_scope(chosen, axis.name)),
        warnings=(
            *warnings,
            *_axis_warnings(axis),
            *scale_warning,
            *_law_warnings(candidates, points, sizes, extrapolation, request),
        ),
        collapse=collapse,
        peak=peak,
        recommendation=Recommendation(
            frequency=frequency,
            infused_tokens=None if infused is None else frequency * infused,
            share=None if a_fact is None else frequency * a_fact,
            risk=float(weights[draws < np.log(frequency / scale)].sum() / weights.sum()),
            binding=binding,
        ),
        law=_law_report(candidates, request.confidence, axis.name),
        extrapolation=extrapolation,
        forgetting=forgetting,
        binding="forgetting" if binding == "rise of general loss" else "collapse",
        axis=axis,
        next_runs=more,
    )


def _amount(draws: Array, weights: Array, confidence: float, a_fact: float | None) -> Amount:
    low, middle, high = (
        float(np.exp(quantile(draws, weights, at))) for at in ((1 - confidence) / 2, 0.5, (1 + confidence) / 2)
    )
    return Amount(middle, low, high, None if a_fact is None else middle * a_fact)


def _formula(law: Law, axis: str) -> str:
    """Return the law's formula with the amount that it was fitted in: F_c, or r_c, the share of D."""
    return law.formula.replace("F_", "r_") if axis == "share" else law.formula


def _scope(chosen: Candidate, axis: str) -> list[str]:
    return [
        f"The law holds up to the target: {_formula(chosen.law, axis)}",
        "Data, tokenizer, templates, schedule and training recipe at the target are those of the sweep",
    ]


def _law_report(candidates: Sequence[Candidate], confidence: float, axis: str) -> LawReport:
    chosen = candidates[0]
    tail = ((1 - confidence) / 2, (1 + confidence) / 2)
    fit = chosen.fit
    parameters = {name: float(value) for name, value in zip(chosen.law.parameters, fit.beta, strict=True)}
    if chosen.bend is not None:
        parameters[chosen.law.shape if isinstance(chosen.law, BentLaw) else "shape"] = float(fit.weights @ fit.shapes)
    return LawReport(
        name=chosen.law.name,
        formula=_formula(chosen.law, axis),
        parameters=parameters,
        intervals={
            name: (quantile(fit.betas[:, at], fit.weights, tail[0]), quantile(fit.betas[:, at], fit.weights, tail[1]))
            for at, name in enumerate(chosen.law.parameters)
        },
        holdout_error=None if chosen.holdout is None else float(abs(np.expm1(chosen.holdout))),
        others={candidate.law.name: candidate.weight for candidate in candidates},
    )


def _axis_warnings(axis: AxisReport) -> list[str]:
    if axis.odds is None or axis.odds >= _PLAIN_ODDS:
        return []
    other = "share" if axis.name == "frequency" else "frequency"
    return [
        f"Exposures or share of D is in doubt, {short(axis.odds)} to 1 for {axis.name}: compare with --axis {other}; "
        "a second budget at one more size would decide it"
    ]


def _law_warnings(
    candidates: Sequence[Candidate],
    points: Points,
    sizes: Sequence[SizeEstimate],
    extrapolation: float,
    request: PredictionRequest,
) -> list[str]:
    chosen = candidates[0]
    lines = [
        f"{sizes[at].group.label()} does not fit the law through the other sizes: look at its runs"
        for at in surprising(chosen, points, request.seed)
    ]
    lines += [
        f"{size.group.label()} shows no collapse where the other sizes let one expect it: with a probability of "
        f"{bad:.2g} it follows another law; the interval covers both cases, and sizes close to it would decide"
        for size, bad in zip(sizes, chosen.fit.bad, strict=True)
        if size.censored == "right" and bad > _IN_DOUBT
    ]
    if extrapolation > _FAR:
        lines.append(f"The target is {extrapolation:.3g} times the largest size with an observed collapse")
    if chosen.holdout is not None and abs(chosen.holdout) > np.log(2):
        lines.append("The largest size was missed by more than a factor of 2 when left out")
    at_target = [candidate.fit.at(candidate.row) for candidate in candidates]
    if max(at_target) - min(at_target) > np.log(1.25):
        pairs = zip(candidates, at_target, strict=True)
        values = ", ".join(f"{candidate.law.name} {short(np.exp(value))}" for candidate, value in pairs)
        lines.append(f"The laws differ at the target: {values}; their spread is in the interval")
    return lines
