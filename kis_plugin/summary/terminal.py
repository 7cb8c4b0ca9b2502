"""Runs in the terminal, within 80 columns: one with its summary and curves, or several side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kis_plugin.amounts import short
from kis_plugin.retention.series import ABOVE_CONTROL
from kis_plugin.storage.terminal import table
from kis_plugin.storage.terminal_chart import can_draw, canvas_of, framed
from kis_plugin.summary.charts import MOST, Chart, charts_of
from kis_plugin.summary.history import History, Point
from kis_plugin.summary.texts import EvaluationTable, path_text, summary_lines
from kis_plugin.summary.verdict import verdict_of

__all__ = ["COLOURS", "show_runs"]

COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "red")
_WHOLE, _HALF = (68, 10), (31, 7)  # characters and lines of a chart


def show_runs(histories: Sequence[History], out: Console, next_command: str = "") -> None:
    """Print runs: one with everything, several as a table."""
    if len(histories) == 1:
        rows = EvaluationTable()
        for evaluation in histories[0].evaluations:
            for line in rows.lines(histories[0], evaluation):
                out.print(line)
        out.print()
    else:
        _compare(histories, out)
    if can_draw(out):
        charts = charts_of(histories)
        for whole in charts[:1]:
            out.print(_drawn(whole, *_WHOLE))
        if len(charts) > 1:
            halves = Table.grid(padding=(0, 3))
            halves.add_row(*(_drawn(chart, *_HALF) for chart in charts[1:]))
            out.print(halves)
    else:
        out.print("No curves: they need pip install 'kis-plugin[plot]' and an output in UTF-8.")
    if len(histories) == 1:
        for line in summary_lines(histories[0], next_command):
            out.print(line)
    elif next_command:
        out.print(f"Next: {next_command}")


def _compare(histories: Sequence[History], out: Console) -> None:
    shown = table("", "N", "F", "share", "held-out", "difference", "loss", "verdict", numbers=range(7))
    for number, history in enumerate(histories, start=1):
        run = history.run
        losses = history.losses.get(history.general_split or "", ())
        state = "" if history.log.end else " so far"
        shown.add_row(
            f"{number}", short(run.params), f"{run.frequency:.4g}", "" if run.share is None else f"{run.share:.2f}",
            "" if (last := history.last(history.main)) is None else f"{last.accuracy:.3f}",
            _difference(history.last(ABOVE_CONTROL)), f"{losses[-1][1]:.3f}" if losses else "",
            verdict_of(history).name + state,
        )  # fmt: skip
    out.print(shown)
    for number, history in enumerate(histories, start=1):
        out.print(f"{number:>3}  {path_text(history.log.path)}")
    if len(histories) > MOST:
        out.print(f"Curves of the first {MOST}:")
    out.print()


def _difference(point: Point | None) -> str:
    return "" if point is None else f"{point.accuracy:+.2f} [{point.low:+.2f}, {point.high:+.2f}]"


def _drawn(chart: Chart, width: int, height: int) -> Padding:
    limits = chart.limits
    canvas = canvas_of(width, height, limits)
    if chart.reference is not None:
        step = (limits[2] - limits[0]) / (width / 2)
        for at in range(0, width // 2, 2):  # dashed
            canvas.line(limits[0] + at * step, chart.reference, limits[0] + (at + 1) * step, chart.reference)
    for number, line in enumerate(chart.lines):
        colour = COLOURS[number % len(COLOURS)]
        for before, after in zip(line.marks, line.marks[1:], strict=False):
            canvas.line(before.x, before.y, after.x, after.y, color=colour)
        for mark in line.marks if line.banded else ():
            canvas.line(mark.x, mark.low, mark.x, mark.high, color=colour)
    title = _title(chart, width)
    return framed(canvas, title, (f"{limits[3]:.2f}", f"{limits[1]:.2f}"), ("0", f"{short(limits[2])} tokens"), width)


def _title(chart: Chart, width: int) -> Text:
    """Return the title with the names of the lines, as far as both fit."""
    title, keys = Text(chart.title, style="bold"), Text()
    for number, line in enumerate(chart.lines):
        if line.name:
            keys.append("  ─ ", style=COLOURS[number % len(COLOURS)])
            keys.append(line.name)
    if chart.reference is not None:
        keys.append(f"  ╌ {chart.reference_name}", style="dim")
    return title.append_text(keys) if len(title) + len(keys) <= width else title
