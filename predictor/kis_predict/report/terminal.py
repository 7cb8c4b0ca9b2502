"""The answer for people: a table of the sizes, the law, the target, the recommendation; then what it rests on."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kis_plugin.amounts import round_down, short
from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.prediction import Amount, AxisReport, Forgetting, LawReport, NextRun, Prediction, Recommendation

__all__ = [
    "axis_text", "fold", "forgetting_text", "holdout_text", "law_text", "print_report", "print_warnings", "size_heads",
    "size_row", "width_of",
]  # fmt: skip


def print_report(answer: Prediction, console: Console, charts: bool = False) -> None:
    """Print the answer without its warnings.

    Args:
        answer: What to print.
        console: Where.
        charts: Draw the sweep and the law too, if plotille is installed and the terminal shows braille.
    """
    if answer.sizes and charts:
        _charts(answer, console)
    if answer.sizes:
        console.print(_sizes(answer))
        console.print()
    if answer.status == "insufficient":
        target = f"N={short(answer.target.params)}"
        console.print(Text(f"No prediction for {target}: the evidence is too weak.", style="bold"))
        _list("Missing", answer.missing, console)
    else:
        console.print(_facts(answer))
    _next(answer, console)
    _list("Assumed", answer.assumptions, console)


def _charts(answer: Prediction, console: Console) -> None:
    from kis_predict.report import terminal_plot

    if not terminal_plot.can_draw(console) or console.width < terminal_plot.NEEDED:
        return
    console.print(terminal_plot.size_charts(answer))
    if answer.collapse:
        console.print(terminal_plot.law_chart(answer))


def print_warnings(answer: Prediction, console: Console) -> None:
    """Print the warnings."""
    _list("Warnings", fold(answer.warnings), console, style="yellow")


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


def _sizes(answer: Prediction) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, header_style="bold")
    for at, name in enumerate(size_heads(answer.confidence)):
        # Text, not markup: brackets are brackets.
        table.add_column(Text(name), justify="left" if at in (4, 5) else "right", no_wrap=True)
    for size in answer.sizes:
        *cells, collapse, at_peak = size_row(size)
        style = "yellow" if size.censored else ""
        table.add_row(*(Text(cell) for cell in cells), Text(collapse, style=style), at_peak)
    return table


def _rough(value: float) -> str:
    """Return two digits: enough for the ends of a grid."""
    return short(float(f"{value:.2g}"))


def _peak(size: SizeEstimate) -> str:
    if size.censored:
        return f"{_BEYOND[size.censored]} {short(math.exp(size.log_peak))}"
    return _between(size.log_peak, size.log_peak_interval)


def _collapse(size: SizeEstimate) -> str:
    doubt = "" if size.odds is None else "?"
    if size.censored:
        return f"{_BEYOND[size.censored]} {short(math.exp(size.log_collapse))}{doubt}"
    return _between(size.log_collapse, size.log_collapse_interval) + doubt


_BEYOND = {"right": ">", "left": "<"}


def _between(log_value: float, interval: tuple[float, float]) -> str:
    low, high = (short(math.exp(end)) for end in interval)
    return f"{short(math.exp(log_value))} [{low}, {high}]"


def _facts(answer: Prediction) -> Padding:
    assert answer.law
    assert answer.collapse
    assert answer.recommendation
    assert answer.extrapolation
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    tokens = "" if answer.target.tokens is None else f", D={short(answer.target.tokens)}"
    table.add_row(
        "Target",
        f"N={short(answer.target.params)}{tokens}, {answer.extrapolation:.3g} times the largest size that collapsed",
    )
    table.add_row("Law", Text(law_text(answer.law)))
    table.add_row("Left out", holdout_text(answer.law))
    table.add_row("Collapse", Text(_amount(answer.collapse)))
    if answer.peak:
        table.add_row("Peak", Text(_amount(answer.peak)))
    if answer.axis:
        table.add_row("Axis", Text(axis_text(answer.axis)))
    if answer.forgetting:
        table.add_row("Forgetting", Text(forgetting_text(answer.forgetting)))
    table.add_row(Text("Infuse", style="bold green"), Text(_recommended(answer.recommendation), style="bold green"))
    return Padding(table, (0, 0, 1, 0))


def law_text(law: LawReport) -> str:
    """Return the formula and the parameters that say how the amount scales, with their intervals."""
    last = list(law.parameters)[1:]
    values = ", ".join(
        f"{name} = {law.parameters[name]:.3g} [{law.intervals[name][0]:.3g}, {law.intervals[name][1]:.3g}]"
        for name in last
    )
    return f"{law.formula}; {values}"


def holdout_text(law: LawReport) -> str:
    """Return by how much the largest size is missed when it is left out."""
    if law.holdout_error is None:
        return "too few sizes to leave the largest out"
    return f"the largest size that collapsed, fitted without it, is missed by {law.holdout_error:.1%}"


def _amount(amount: Amount) -> str:
    share = "" if amount.share is None else f", a share of {amount.share:.3g}"
    return f"F = {short(amount.frequency)} [{short(amount.low)}, {short(amount.high)}] exposures per fact{share}"


def axis_text(axis: AxisReport) -> str:
    """Return which axis was taken, and why."""
    errors = ", ".join(f"{name} {error:.1%}" for name, error in axis.holdout_errors.items() if error is not None)
    return f"{axis.name}: {axis.reason}{f' (left-out sizes missed by: {errors})' if errors else ''}"


def forgetting_text(forgetting: Forgetting) -> str:
    """Return the greatest amount that general loss bears, or why it is not known."""
    if forgetting.frequency is None or forgetting.low is None or forgetting.high is None:
        return f"not predicted: {forgetting.reason}"
    high = "more" if math.isinf(forgetting.high) else short(forgetting.high)
    share = "" if forgetting.share is None else f", a share of {forgetting.share:.3g}"
    amount = f"F = {short(forgetting.frequency)} [{short(forgetting.low)}, {high}]{share}"
    return f"{amount} raises general loss by {forgetting.max_loss_rise:g} nats"


def _next(answer: Prediction, console: Console) -> None:
    if not answer.next_runs:
        return
    console.print(Text("Next runs", style="bold"))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, header_style="bold")
    for head in ("N", "D", "F", "FLOPs", "interval then"):
        table.add_column(head, justify="right", no_wrap=True)
    for run in answer.next_runs:
        table.add_row(short(run.params), short(run.tokens), short(run.frequency), f"{run.flops:.2g}", width_of(run))
    console.print(Padding(table, (0, 0, 1, 1)))


def width_of(run: NextRun) -> str:
    """Return the expected width of the target's interval after a run, relative to the present one."""
    return "not known yet" if math.isinf(run.width) else f"{run.width:.0%} as wide"


def _recommended(recommended: Recommendation) -> str:
    tokens = "" if recommended.infused_tokens is None else f", {short(round_down(recommended.infused_tokens))} tokens"
    share = "" if recommended.share is None else f", {round_down(recommended.share):.3g} of D"
    return (
        f"at most {short(round_down(recommended.frequency))} exposures per fact{tokens}{share}\n"
        f"risk of collapse {recommended.risk:.1%}; limited by: {recommended.binding}"
    )


def _list(title: str, lines: Sequence[str], console: Console, style: str = "") -> None:
    if not lines:
        return
    console.print(Text(title, style=f"bold {style}".strip()))
    for line in lines:
        # A grid for each line: a long one continues under its text, not under the dash.
        row = Table.grid(padding=(0, 1))
        row.add_row("-", Text(line, overflow="fold"))
        console.print(Padding(row, (0, 0, 0, 1)))


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
