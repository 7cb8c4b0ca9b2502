"""The answer for people: a table of the sizes, the law, the target, the recommendation; then what it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kis_predict.amounts import short
from kis_predict.prediction import Amount, LawReport, Prediction, Recommendation
from kis_predict.sizes import SizeEstimate

__all__ = ["print_report", "print_warnings"]


def print_report(answer: Prediction, console: Console) -> None:
    """Print the answer without its warnings."""
    if answer.sizes:
        console.print(_sizes(answer))
        console.print()
    if answer.status == "insufficient":
        target = f"N={short(answer.target.params)}"
        console.print(Text(f"No prediction for {target}: the evidence is too weak.", style="bold"))
        _list("Missing", answer.missing, console)
    else:
        console.print(_facts(answer))
        _list("Assumed", answer.assumptions, console)


def print_warnings(answer: Prediction, console: Console) -> None:
    """Print the warnings."""
    _list("Warnings", answer.warnings, console, style="yellow")


def _sizes(answer: Prediction) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, header_style="bold")
    interval = f"[{answer.confidence * 100:.3g} %]"
    for name in ("N", "D", "runs", "F tested"):
        table.add_column(name, justify="right", no_wrap=True)
    # Text, not markup: brackets are brackets.
    for head in (f"peak {interval}", f"collapse {interval}"):
        table.add_column(Text(head), no_wrap=True)
    table.add_column("at peak", justify="right", no_wrap=True)
    for size in answer.sizes:
        group = size.group
        tested = f"{short(group.runs[0].frequency)} to {short(group.runs[-1].frequency)}"
        table.add_row(
            short(group.params), short(group.tokens), str(len(group.runs)), tested, Text(_peak(size)),
            Text(_collapse(size), style="yellow" if size.censored else ""), f"{size.peak_retention:.2f}",
        )  # fmt: skip
    return table


def _rough(value: float) -> str:
    """Return two digits: enough for the ends of a grid."""
    return short(float(f"{value:.2g}"))


def _peak(size: SizeEstimate) -> str:
    if size.censored:
        return f"{_BEYOND[size.censored]} {short(math.exp(size.log_peak))}"
    return _between(size.log_peak, size.log_peak_interval)


def _collapse(size: SizeEstimate) -> str:
    if size.censored:
        return f"{_BEYOND[size.censored]} {short(math.exp(size.log_collapse))}"
    return _between(size.log_collapse, size.log_collapse_interval)


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
    table.add_row("Law", Text(_law(answer.law)))
    table.add_row("Left out", _holdout(answer.law))
    table.add_row("Collapse", Text(_amount(answer.collapse)))
    if answer.peak:
        table.add_row("Peak", Text(_amount(answer.peak)))
    table.add_row(Text("Infuse", style="bold green"), Text(_recommended(answer.recommendation), style="bold green"))
    return Padding(table, (0, 0, 1, 0))


def _law(law: LawReport) -> str:
    last = list(law.parameters)[1:]
    values = ", ".join(
        f"{name} = {law.parameters[name]:.3g} [{law.intervals[name][0]:.3g}, {law.intervals[name][1]:.3g}]"
        for name in last
    )
    return f"{law.formula}; {values}"


def _holdout(law: LawReport) -> str:
    if law.holdout_error is None:
        return "too few sizes to leave the largest out"
    return f"the largest size that collapsed, fitted without it, is missed by {law.holdout_error:.1%}"


def _amount(amount: Amount) -> str:
    share = "" if amount.share is None else f", a share of {amount.share:.3g}"
    return f"F = {short(amount.frequency)} [{short(amount.low)}, {short(amount.high)}] exposures per fact{share}"


def _recommended(told: Recommendation) -> str:
    tokens = "" if told.infused_tokens is None else f", {short(_down(told.infused_tokens))} tokens"
    share = "" if told.share is None else f", {_down(told.share):.3g} of D"
    return (
        f"at most {short(_down(told.frequency))} exposures per fact{tokens}{share}\n"
        f"risk of collapse {told.risk:.1%}; limited by: {told.binding}"
    )


def _down(value: float) -> float:
    """Round down to three digits: what is shown never exceeds what was found safe."""
    if value <= 0:
        return value
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.floor(value / unit * (1 + 1e-12)) * unit


def _list(title: str, lines: Sequence[str], console: Console, style: str = "") -> None:
    if not lines:
        return
    console.print(Text(title, style=f"bold {style}".strip()))
    for line in lines:
        # Its own grid, so that a long line goes on under its text and not under the dash.
        row = Table.grid(padding=(0, 1))
        row.add_row("-", Text(line, overflow="fold"))
        console.print(Padding(row, (0, 0, 0, 1)))
