"""The answer for people: three lines first, then the evidence. A line may be long; no cell and no name is cut."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kis_plugin.amounts import short
from kis_predict.prediction import Prediction
from kis_predict.report import texts

__all__ = ["print_report", "print_warnings"]

_GAP = 2
_WIDE = 10_000


def print_report(answer: Prediction, console: Console, charts: bool = False) -> None:
    """Print the answer without its warnings.

    Args:
        answer: What to print.
        console: Where.
        charts: Draw the sweep and the law too, if plotille is installed and the terminal shows braille.
    """
    ok = answer.status == "ok"
    for at, line in enumerate(texts.headline(answer)):
        _write(console, line, style="bold green" if ok and at == 0 else "bold" if at == 0 else "")
    console.print()
    if not ok:
        _list("Missing" if answer.collapse is None else "Why not", answer.missing, console)
        console.print()
    if answer.sizes and charts:
        _charts(answer, console)
    if answer.sizes:
        _sizes(answer, console)
    _facts(answer, console)
    _list("If a constant of the method changes", texts.sensitivity_lines(answer), console)
    _next(answer, console)
    _list("Assumed", answer.assumptions, console)


def print_warnings(answer: Prediction, console: Console) -> None:
    """Print the warnings, under what to do about them."""
    for title, lines in texts.grouped_warnings(answer.warnings):
        _list(f"Warnings: {title.lower()}", lines, console, style="yellow")


def _charts(answer: Prediction, console: Console) -> None:
    from kis_predict.report import terminal_plot

    if not terminal_plot.can_draw(console) or console.width < terminal_plot.NEEDED:
        return
    console.print(terminal_plot.size_charts(answer))
    if answer.collapse:
        console.print(terminal_plot.law_chart(answer))


def _sizes(answer: Prediction, console: Console) -> None:
    """Print the sizes as a table, or a line each where the table would not fit."""
    table = _table(texts.size_heads(answer.confidence), left=(4, 5))
    for size in answer.sizes:
        *cells, collapse, at_peak = texts.size_row(size)
        style = "yellow" if size.censored else ""
        table.add_row(*(Text(cell) for cell in cells), Text(collapse, style=style), at_peak)
    if console.measure(table, options=console.options.update(max_width=_WIDE)).maximum <= console.width:
        console.print(table)
    else:
        _list(
            f"Sizes, with {answer.confidence * 100:.3g} % intervals", list(map(texts.size_line, answer.sizes)), console
        )
        return
    console.print()


def _facts(answer: Prediction, console: Console) -> None:
    if not (answer.law and answer.collapse):
        return
    rows = [("Recommended", texts.recommended_text(answer))] if answer.recommendation else []
    rows += [("Law", texts.law_text(answer.law)), ("Left out", texts.holdout_text(answer.law))]
    rows += [("Collapse", texts.amount_text(answer.collapse, answer))]
    rows += [("Peak", texts.amount_text(answer.peak, answer))] if answer.peak else []
    rows += [("Retained", texts.retained_text(answer))] if answer.retained else []
    rows += [("From smaller", text)] if (text := texts.prefix_text(answer)) else []
    rows += [("Axis", texts.axis_text(answer.axis))] if answer.axis else []
    rows += [("Forgetting", texts.forgetting_text(answer.forgetting))] if answer.forgetting else []
    width = max(len(name) for name, _ in rows) + _GAP
    for name, text in rows:
        _write(console, text, first=f"{name:<{width}}", indent=width)
    console.print()


def _next(answer: Prediction, console: Console) -> None:
    if not answer.next_runs:
        return
    console.print(Text("Next runs", style="bold"))
    table = _table(("N", "D", "F", "FLOPs", "interval then"))
    for run in answer.next_runs:
        cells = (short(run.params), short(run.tokens), short(run.frequency), f"{run.flops:.2g}", texts.width_of(run))
        table.add_row(*cells)
    console.print(table)
    if verdict := texts.not_worth_it(answer.next_runs):
        _write(console, verdict, style="yellow")
    console.print()


def _table(heads: Sequence[str], left: Sequence[int] = ()) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, header_style="bold")
    for at, name in enumerate(heads):
        # Text, not markup: brackets are brackets.
        table.add_column(Text(name), justify="left" if at in left else "right", no_wrap=True)
    return table


def _list(title: str, lines: Sequence[str], console: Console, style: str = "") -> None:
    if not lines:
        return
    console.print(Text(title, style=f"bold {style}".strip()))
    for line in lines:
        _write(console, line, first=" - ", indent=3)


def _write(console: Console, text: str, *, first: str = "", indent: int = 0, style: str = "") -> None:
    """Print a paragraph broken between words alone: a path stays whole, so that it can be copied."""
    lines = textwrap.wrap(
        text, console.width, initial_indent=first, subsequent_indent=" " * indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    for line in lines:
        console.print(Text(line, style=style), soft_wrap=True)
