"""From runs to an answer: screen, estimate each size, fit the laws, read off the target, refuse what is no guide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from kis_plugin.amounts import short
from kis_plugin.errors import KISError, Problem
from kis_predict import method
from kis_predict.curves.size_estimates import SizeEstimate, estimate_sizes
from kis_predict.design.fallback_runs import fallback_runs
from kis_predict.design.missing_runs import missing_runs
from kis_predict.design.next_runs import next_runs
from kis_predict.laws.axis import axis_report, axis_warnings, caution_line, safe_limit, units_of
from kis_predict.laws.fact_count import facts_line, lower_reading, readings, times_the_text
from kis_predict.laws.forgetting import forgetting_limit, refuse_unclear_losses
from kis_predict.laws.peak_gap import gap_draws
from kis_predict.laws.points import Points
from kis_predict.laws.refusal import (
    LOSS,
    RISK,
    amount_refusals,
    collapse_stands,
    prefix_errors,
    refusals,
    supported_distance,
)  # fmt: skip
from kis_predict.laws.retained import retained
from kis_predict.laws.selection import Candidate, Sizes, fit_laws, mixture, quantile, surprising
from kis_predict.laws.size_points import points_of
from kis_predict.laws.target import budget, facts_assumed, infused_tokens, rule_of_d
from kis_predict.observed import ObservedRun
from kis_predict.prediction import Amount, LawReport, NextRun, Prediction, Recommendation, Sensitivity, Target
from kis_predict.protocols import BentLaw, BudgetedLaw, Law
from kis_predict.request import PredictionRequest
from kis_predict.sweep import MOST_SHARE, Sweep, build_sweep
from kis_predict.watch import Watch, unwatched

__all__ = ["PredictionRequest", "amount_of", "law_report", "leading_law", "predict"]

Array = npt.NDArray[np.float64]

_FAR = 10.0
_IN_DOUBT = 0.25
_HEARD = 0.1
"""Weight from which a law is named where laws differ."""
_MORE = {
    RISK: "a greater risk (--risk) or a narrower interval (--next)",
    LOSS: "a greater rise of general loss (--max-loss-rise)",
}
_LITTLE = 0.8
"""Part of the peak's height below which what is retained at the recommended amount is warned of."""


def predict(
    runs: Sequence[ObservedRun], request: PredictionRequest, laws: Mapping[str, Law], watch: Watch = unwatched
) -> Prediction:  # fmt: skip
    """Answer ``request`` from ``runs``.

    Args:
        runs: As read from logs.
        request: The target and the options.
        laws: By name.
        watch: Called with the progress.

    Raises:
        KISError: The sweep follows no rule for D and the request gives none, a law that is not usable, or losses of
            several evaluation sets of which none is named as general.
    """
    refuse_unclear_losses(runs)
    sweep = build_sweep(runs)
    sizes = tuple(estimate_sizes(sweep.groups, request.bootstraps, request.seed, request.confidence, watch))
    watch("Weighing laws", 0, 1)
    found = answer(sweep, sizes, request, laws)
    if request.sensitivity and found.recommendation is not None:
        found = replace(found, sensitivity=_sensitivity(sweep, sizes, request, laws, watch))
    return found


def _sensitivity(
    sweep: Sweep, sizes: tuple[SizeEstimate, ...], request: PredictionRequest, laws: Mapping[str, Law], watch: Watch
) -> tuple[Sensitivity, ...]:  # fmt: skip
    """Return the recommended amount with each constant of the method halved and doubled, one at a time."""

    def amount(name: str, value: float) -> float | None:
        with method.changed(name, value):
            # Few resamples do: the amount moves by less than by the constants.
            again = min(request.bootstraps, 200), request.seed, request.confidence
            estimates = tuple(estimate_sizes(sweep.groups, *again)) if method.CONSTANTS[name].of_sizes else sizes
            recommended = answer(sweep, estimates, request, laws).recommendation
        return None if recommended is None else recommended.frequency

    found = []
    for done, (name, constant) in enumerate(method.CONSTANTS.items()):
        watch("Changing constants", done, len(method.CONSTANTS))
        ends = amount(name, constant.value / 2), amount(name, constant.value * 2)
        found.append(Sensitivity(name, constant.value, *ends))
    return tuple(found)


def answer(
    sweep: Sweep, sizes: tuple[SizeEstimate, ...], request: PredictionRequest, laws: Mapping[str, Law]
) -> Prediction:  # fmt: skip
    """Answer ``request`` from the estimates of a sweep's sizes; see ``predict``."""
    # Sizes that never learnt stay in the report and enter nothing else.
    learnt = tuple(size for size in sizes if size.learnt)
    none = Prediction(
        "insufficient", Target(request.params, request.tokens), request.confidence, sizes, sweep.assumptions,
        (*sweep.warnings, *(warning for size in sizes for warning in size.warnings)), method=method.describe(),
    )  # fmt: skip
    missing = missing_runs(sweep, sizes)
    if missing:
        more = fallback_runs(sweep, learnt, request.next_runs, request.new_sizes)
        return replace(none, missing=tuple(missing), next_runs=more)
    tokens, rule = budget(request, sweep)
    where = Sizes(
        params=np.array([size.group.params for size in learnt], dtype=np.float64),
        tokens=np.array([size.group.tokens for size in learnt], dtype=np.float64),
        target=(float(request.params), float(tokens)),
    )
    infused = infused_tokens(request, sweep)
    a_fact = None if infused is None else infused / tokens  # share of D that one exposure of every fact takes
    groups = [size.group for size in learnt]
    times = times_the_text(groups, infused)
    # The laws are read for the sweep's own number of facts; what another one does is added to their draws.
    units, lacking = units_of(request, learnt, where, None if a_fact is None else a_fact / times)
    points = points_of(learnt, "collapse")
    candidates = fit_laws(laws, where, points, request.seed, units)
    if not candidates:
        raise KISError(Problem("laws", ", ".join(laws) or "none", "one that the observed sizes can settle"))
    axis = axis_report(request, candidates, where, units, lacking)
    axis_lines, off_rule = axis_warnings(axis, where, units.get("share"), request)
    axis_lines += facts_line(times, request.axis)
    draws, weights = mixture(candidates, request.seed)
    # A slow decline leaves two readings of every size, together: half of the draws are of the lower one.
    draws = draws - max(size.earlier for size in learnt) * (np.arange(len(draws)) % 2)
    known_facts, draws = draws, draws - readings(times, request.axis, len(draws))
    collapse = amount_of(draws, weights, request.confidence, a_fact)
    gaps = gap_draws(learnt, float(request.params), len(draws), request.seed)
    peak = amount_of(draws - gaps, weights, request.confidence, a_fact)
    errors = prefix_errors(candidates, sorted({float(n) for n in where.params[points.side == 0]}))
    chosen = leading_law(candidates)
    extrapolation = request.params / float(where.params[points.side == 0].max())
    more = _next_runs(learnt, points, candidates, request)
    known = replace(
        none,
        target=Target(request.params, tokens),
        assumptions=(
            *sweep.assumptions, *rule, rule_of_d(where), *facts_assumed(request, sweep), *_scope(chosen),
        ),
        extrapolation=extrapolation,
        axis=axis,
        prefix_errors=errors,
        supported=supported_distance(errors),
        next_runs=more,
    )  # fmt: skip
    below = float(where.params[points.side == 0].min()) / request.params
    reasons = refusals(errors, extrapolation, collapse.low, collapse.high, request.far, below)
    if reasons:
        law_lines = _law_warnings(candidates, points, learnt, extrapolation, request, times)
        return replace(known, missing=tuple(reasons), warnings=(*none.warnings, *axis_lines, *law_lines))
    forgetting, within_loss = forgetting_limit(sweep, laws, where.target, infused, request)
    lower = lower_reading(times, request.axis)
    cautious, plain = (
        safe_limit(candidates, known_facts, weights, request.risk, axis, off_rule, caution) - lower
        for caution in (True, False)
    )
    limits = {
        RISK: float(np.exp(cautious)),
        "upper bound of the peak": amount_of(known_facts - gaps - lower, weights, request.confidence, a_fact).high,
        LOSS: within_loss,
        f"share of {MOST_SHARE:g}": MOST_SHARE / a_fact if a_fact else np.inf,
    }
    binding = min(limits, key=lambda name: limits[name])
    frequency = limits[binding]
    kept = retained(
        learnt, float(request.params), draws, weights, (frequency, frequency / 2, 2 * frequency), request.confidence,
        request.seed,
    )  # fmt: skip
    reasons = amount_refusals(limits, a_fact, kept[0], peak.frequency, off_rule or times != 1.0, request.max_loss_rise)
    law_lines = _law_warnings(candidates, points, learnt, extrapolation, request, times)
    known = replace(known, warnings=(*none.warnings, *axis_lines, *law_lines), forgetting=forgetting)
    if reasons and not collapse_stands(limits[RISK], a_fact):
        return replace(known, missing=tuple(reasons))
    known = replace(
        known, collapse=collapse, peak=peak, law=law_report(chosen, candidates, request.confidence),
        missing=tuple(reasons),
    )  # fmt: skip
    if reasons:
        return known
    return replace(
        known,
        status="ok",
        assumptions=(*known.assumptions, *(caution_line(cautious, plain) if binding == RISK else ())),
        warnings=(*none.warnings, *axis_lines, *_retained_warnings(kept[0].of_peak, binding), *law_lines),
        recommendation=Recommendation(
            frequency=frequency,
            infused_tokens=None if infused is None else frequency * infused,
            share=None if a_fact is None else frequency * a_fact,
            risk=float(weights[draws < np.log(frequency)].sum() / weights.sum()),
            binding=binding,
        ),
        binding="forgetting" if binding == LOSS else "collapse",
        retained=kept,
    )


def leading_law(candidates: Sequence[Candidate]) -> Candidate:
    """Return the law that the report names.

    It is that of size and budget where two budgets settle it; else the likeliest, or a straight one half as likely.
    """
    straight = (each for each in candidates if each.bend is None and not len(each.shrinkage.at))
    likely = next((each for each in straight if each.weight >= candidates[0].weight / 2), candidates[0])
    return next((each for each in candidates if isinstance(each.law, BudgetedLaw)), likely)


def _next_runs(
    sizes: Sequence[SizeEstimate], points: Points, candidates: Sequence[Candidate], request: PredictionRequest
) -> tuple[NextRun, ...]:  # fmt: skip
    """Return the runs that would narrow the answer most, by the likeliest law without a prior of its own."""
    if not request.next_runs:
        return ()
    usable = [each for each in candidates if not len(each.shrinkage.at)] or list(candidates)
    chosen, largest = usable[0], request.params if request.new_sizes else 0
    shifted = points.shifted(chosen.unit.at_groups)
    return next_runs(sizes, shifted, chosen, request.next_runs, largest, chosen.axis == "share", request.per_flop)


def amount_of(draws: Array, weights: Array, confidence: float, a_fact: float | None) -> Amount:
    """Return the median of draws of a log amount with its central interval, and its share of D if known."""
    low, middle, high = (
        float(np.exp(quantile(draws, weights, at))) for at in ((1 - confidence) / 2, 0.5, (1 + confidence) / 2)
    )
    return Amount(middle, low, high, None if a_fact is None else middle * a_fact)


def _formula(each: Candidate) -> str:
    """Return the law's formula with the amount that it was fitted in: F_c, or r_c, the share of D."""
    return each.law.formula.replace("F_", "r_") if each.axis == "share" else each.law.formula


def _scope(chosen: Candidate) -> list[str]:
    return [
        f"The law holds up to the target: {_formula(chosen)}",
        "Data, tokenizer, templates, schedule and training recipe at the target are those of the sweep",
    ]


def law_report(chosen: Candidate, candidates: Sequence[Candidate], confidence: float) -> LawReport:
    """Return the law that the report names, and the weights of all."""
    tail = ((1 - confidence) / 2, (1 + confidence) / 2)
    fit = chosen.fit
    draws = dict(zip(chosen.law.parameters, fit.betas.T, strict=True))
    if chosen.bend is not None:
        draws[chosen.law.shape if isinstance(chosen.law, BentLaw) else "shape"] = fit.shapes
    weights: dict[str, float] = {}
    for each in candidates:
        weights[each.name] = weights.get(each.name, 0.0) + each.weight
    return LawReport(
        name=chosen.law.name,
        formula=_formula(chosen),
        parameters={name: float(fit.weights @ values) for name, values in draws.items()},
        intervals={
            name: (quantile(values, fit.weights, tail[0]), quantile(values, fit.weights, tail[1]))
            for name, values in draws.items()
        },
        holdout_error=None if chosen.holdout is None else float(abs(np.expm1(chosen.holdout))),
        others=weights,
    )


def _retained_warnings(of_peak: float, binding: str) -> list[str]:
    if of_peak >= _LITTLE:
        return []
    more = _MORE.get(binding, "nothing short of other facts or another budget")
    return [f"At the recommended amount {of_peak:.0%} of the peak's height is expected to be retained: {more} would "
            "allow more"]  # fmt: skip


def _law_warnings(
    candidates: Sequence[Candidate],
    points: Points,
    sizes: Sequence[SizeEstimate],
    extrapolation: float,
    request: PredictionRequest,
    times: float,
) -> list[str]:
    chosen = leading_law(candidates)
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
    counted = [(each, each.at_target()) for each in candidates if each.weight > _HEARD]
    at_target = [value for _, value in counted]
    if max(at_target) - min(at_target) > np.log(1.25):
        values = ", ".join(f"{each.name} {short(np.exp(value))}" for each, value in counted)
        of = "" if times == 1.0 else " with the sweep's number of facts"
        lines.append(f"The laws differ at the target: {values}{of}; their spread is in the interval")
    return lines
