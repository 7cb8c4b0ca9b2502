"""The sentences and cells of the report, shared by the terminal and the page."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from kis_plugin.amounts import round_down, short
from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.design.next_runs import worth_its_cost
from kis_predict.laws.refusal import MOST_FAR
from kis_predict.prediction import Amount, AxisReport, Forgetting, LawReport, NextRun, Prediction

__all__ = [
    "amount_text",
    "axis_text",
    "fold",
    "forgetting_text",
    "grouped_warnings",
    "headline",
    "holdout_text",
    "law_text",
    "not_worth_it",
    "prefix_text",
    "recommended_text",
    "retained_text",
    "sensitivity_lines",
    "size_heads",
    "size_line",
    "size_row",
    "target_text",
    "width_of",
]


def target_text(answer: Prediction) -> str:
    """Return ``N=7B, D=140B``."""
    tokens = "" if answer.target.tokens is None else f", D={short(answer.target.tokens)}"
    return f"N={short(answer.target.params)}{tokens}"


def headline(answer: Prediction) -> list[str]:
    """Return the answer in three lines of at most 80 columns: how much, what happens beyond, and how far it reaches."""
    recommended, collapse, far = answer.recommendation, answer.collapse, answer.extrapolation
    rests = f"It rests on {_basis(answer)}."
    if far is not None and collapse is not None:
        rests = f"{_reach(answer, far)} {short(far)} times the largest N, from {_basis(answer)}."
    if collapse is None:
        first = f"No prediction for {target_text(answer)}: the evidence is too weak."
        return [first, rests, "What is missing is listed below."]
    interval = _interval(collapse)
    if recommended is None:
        first = f"No amount is recommended for {target_text(answer)}: see below."
        return [first, f"Collapse is predicted at {interval}.", rests]
    unit = "in the unit of the points" if _given(answer) else "exposures per fact"
    return [
        f"Infuse at most {short(round_down(recommended.frequency))} {unit} into {target_text(answer)}.",
        f"Collapse is predicted at {interval}; the risk of it is {recommended.risk:.1%}.",
        rests,
    ]


def _reach(answer: Prediction, far: float) -> str:
    """Return the beginning of a sentence that says how far the target lies from the sizes that collapsed."""
    if far > 1:
        return "This extrapolates to"
    smallest = min((size.group.params for size in answer.sizes if size.censored is None), default=0)
    return "This lies within the sweep:" if answer.target.params >= smallest > 0 else "This lies at"


def _basis(answer: Prediction) -> str:
    if _given(answer):
        return "critical points as given"
    if not answer.sizes:
        return "no run that could be fitted"
    runs, sizes = sum(len(size.group.runs) for size in answer.sizes), len({size.group.params for size in answer.sizes})
    return f"{runs:,} run{'s' if runs != 1 else ''} of {sizes} size{'s' if sizes != 1 else ''}"


def _given(answer: Prediction) -> bool:
    """Return whether the answer is from critical points that were given, in a unit of their own."""
    return answer.points > 0


def recommended_text(answer: Prediction) -> str:
    """Return the recommended amount in tokens and as a share too, with its risk and what limits it."""
    recommended = answer.recommendation
    assert recommended
    texts = [f"F = {short(round_down(recommended.frequency))}{_per_fact(answer)}"]
    texts += [] if recommended.infused_tokens is None else [f"{short(round_down(recommended.infused_tokens))} tokens"]
    texts += [] if recommended.share is None else [f"{round_down(recommended.share):.3g} of D"]
    risk = f"the risk of collapse at this amount is {recommended.risk:.1%}"
    return f"{', '.join(texts)}; {risk}; limited by: {recommended.binding}"


def _per_fact(answer: Prediction) -> str:
    return "" if _given(answer) else " exposures per fact"


def amount_text(amount: Amount, answer: Prediction) -> str:
    """Return an amount with its interval and its share."""
    share = "" if amount.share is None else f", a share of {amount.share:.3g}"
    return f"{_interval(amount)}{_per_fact(answer)}{share}"


def _interval(amount: Amount) -> str:
    # The lower end is rounded down, as the recommended amount is, which often equals it.
    return f"F = {short(amount.frequency)} [{short(round_down(amount.low))}, {short(amount.high)}]"


def size_heads(confidence: float) -> tuple[str, ...]:
    """Return the column titles of the table of sizes."""
    interval = f"[{confidence * 100:.3g} %]"
    return "N", "D", "runs", "F tested", f"peak {interval}", f"collapse {interval}", "at peak"


def size_row(size: SizeEstimate) -> tuple[str, ...]:
    """Return one size's cells."""
    group = size.group
    tested = f"{short(group.runs[0].frequency)} to {short(group.runs[-1].frequency)}"
    return (
        short(group.params), short(group.tokens), str(len(group.runs)), tested, _peak(size), _collapse(size),
        f"{size.peak_retention:.2f}",
    )  # fmt: skip


def size_line(size: SizeEstimate) -> str:
    """Return one size's cells as a sentence, for places too narrow for the table."""
    n, d, runs, tested, peak, collapse, at_peak = size_row(size)
    start = f"N={n}, D={d}: {runs} runs at F = {tested}"
    if not size.learnt:
        return f"{start}; {_NEVER}; retention {at_peak} at most"
    return f"{start}; peak {peak}; collapse {collapse}; retention {at_peak} at peak"


_NEVER = "never learnt"


def _peak(size: SizeEstimate) -> str:
    if not size.learnt:
        return _NEVER
    if size.censored:
        return f"{_BEYOND[size.censored]} {short(math.exp(size.log_peak))}"
    return _between(size.log_peak, size.log_peak_interval)


def _collapse(size: SizeEstimate) -> str:
    if not size.learnt:
        return "-"
    doubt = "" if size.odds is None else "?"
    if size.censored:
        return f"{_BEYOND[size.censored]} {short(math.exp(size.log_collapse))}{doubt}"
    return _between(size.log_collapse, size.log_collapse_interval) + doubt


_BEYOND = {"right": ">", "left": "<"}


def _between(log_value: float, interval: tuple[float, float]) -> str:
    low, high = (short(math.exp(end)) for end in interval)
    return f"{short(math.exp(log_value))} [{low}, {high}]"


def law_text(law: LawReport) -> str:
    """Return the formula and the parameters that say how the amount scales, with their intervals."""
    last = list(law.parameters)[1:]
    values = ", ".join(
        f"{name} = {law.parameters[name]:.3g} [{law.intervals[name][0]:.3g}, {law.intervals[name][1]:.3g}]"
        for name in last
    )
    return f"{law.formula}; {values}" if values else law.formula


def holdout_text(law: LawReport) -> str:
    """Return by how much the largest size is missed when it is left out."""
    if law.holdout_error is None:
        return "too few sizes to leave the largest out"
    return f"fitted without the largest size that collapsed, this law misses it by {law.holdout_error:.1%}"


def axis_text(axis: AxisReport) -> str:
    """Return which axis was taken, and why, with the errors of the laws on each."""
    open_ = axis.odds is None and axis.by_rule is not None and axis.reason != "requested"
    if open_:
        # Errors beside it would read as evidence; they differ since other laws are mixed on the other axis.
        return f"undecided: {axis.reason}"
    errors = ", ".join(f"{name} {error:.1%}" for name, error in axis.holdout_errors.items() if error is not None)
    known = {name: error for name, error in axis.holdout_errors.items() if error is not None}
    # The odds are those of every size; the largest by itself may favour the other axis.
    against = axis.odds is not None and known.get(axis.name, 0.0) > min(known.values(), default=0.0)
    largest = "the largest size alone is nearer to the other axis, missed" if against else "largest size missed"
    missed = f" ({largest} by: {errors})" if errors else ""
    return f"{axis.name}: {axis.reason}{missed}"


def forgetting_text(forgetting: Forgetting) -> str:
    """Return the greatest amount that general loss bears, or why it is not known."""
    if forgetting.frequency is None or forgetting.low is None or forgetting.high is None:
        return f"not predicted: {forgetting.reason}"
    high = "more" if math.isinf(forgetting.high) else short(forgetting.high)
    share = "" if forgetting.share is None else f", a share of {forgetting.share:.3g}"
    amount = f"F = {short(forgetting.frequency)} [{short(forgetting.low)}, {high}]{share}"
    return f"{amount} raises general loss by {forgetting.max_loss_rise:g} nats"


def width_of(run: NextRun) -> str:
    """Return the expected width of the target's interval after a run, relative to the present one."""
    return "not known yet" if math.isinf(run.width) else f"{run.width:.0%} as wide"


def not_worth_it(runs: Sequence[NextRun]) -> str:
    """Return that no proposed run is worth its cost, where all of them together hardly narrow the interval."""
    if worth_its_cost(runs):
        return ""
    best = min(run.width for run in runs)
    return f"No run is worth its cost: all of these leave the target's interval {best:.0%} as wide as it is."


_BY_ACTION: tuple[tuple[str, str], ...] = (
    ("Runs that were left out", r"^Left out|is not fitted$"),
    ("Logs to look at", r"\.(jsonl|csv|tsv|json|yaml|xz|gz)\b|^--map"),
    ("Runs to add or to look at", r"^N=|add |seeds|does not fit|no collapse"),
    ("How far to trust the answer", r""),
)
"""What to do about a warning, by the first pattern found in it."""


def retained_text(answer: Prediction) -> str:
    """Return the expected held-out retention at half the recommended amount, at that amount and at double of it."""
    return "; ".join(
        f"{one.retention:.2f} [{one.low:.2f}, {one.high:.2f}] at F = {short(round_down(one.frequency))}, "
        f"{one.of_peak:.0%} of the peak"
        for one in sorted(answer.retained, key=lambda one: one.frequency)
    )


def prefix_text(answer: Prediction) -> str:
    """Return by what factor each size is missed when predicted from the smaller ones, beside the constant share."""
    found = [
        f"{short(error.params)} x{math.exp(error.log_error):.2f}"
        + ("" if error.baseline is None else f" (same share: x{math.exp(error.baseline):.2f})")
        for error in answer.prefix_errors
    ]
    most = min(answer.supported or 0.0, MOST_FAR)
    far = "" if answer.supported is None else f"; such errors allow a target of up to {short(most)} times the largest N"
    return f"predicted / found: {', '.join(found)}{far}" if found else ""


def sensitivity_lines(answer: Prediction) -> list[str]:
    """Return how the recommended amount moves with each constant of the method."""

    def amount(value: float | None) -> str:
        return "refused" if value is None else short(round_down(value))

    return [
        f"{one.constant} = {one.value:g}: {amount(one.halved)} if halved, {amount(one.doubled)} if doubled"
        for one in answer.sensitivity
    ]


def grouped_warnings(warnings: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return warnings under what to do about them, those that differ in numbers alone folded."""
    groups: dict[str, list[str]] = {title: [] for title, _ in _BY_ACTION}
    for line in warnings:
        groups[next(title for title, pattern in _BY_ACTION if re.search(pattern, line))].append(line)
    return [(title, fold(lines)) for title, lines in groups.items() if lines]


def fold(lines: Sequence[str], most: int = 3) -> list[str]:
    """Return lines that differ in nothing but numbers and what they are about, such as paths, as a few and a count."""
    alike: dict[str, list[str]] = {}
    for line in lines:
        _, colon, rest = line.partition(": ")
        alike.setdefault(re.sub(r"\d+", "#", rest) if colon else line, []).append(line)
    return [
        line
        for group in alike.values()
        for line in (
            group if len(group) <= most + 1 else [*group[:most], f"and {len(group) - most:,} more like the one above"]
        )
    ]
