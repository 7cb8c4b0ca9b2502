"""Charts in the terminal: plotille draws on braille cells, rich sets the frames."""

from __future__ import annotations

import math

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kis_plugin.amounts import short
from kis_plugin.storage.terminal_chart import can_draw, canvas_of, framed
from kis_predict.prediction import Prediction
from kis_predict.report.chart_data import SizeCurve, law_curve, size_curves, spread

__all__ = ["NEEDED", "can_draw", "law_chart", "size_charts"]

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "red")
_WIDTH, _HEIGHT = 32, 6
_MOST = 6
NEEDED = 80
"""Columns that the charts take."""


def size_charts(answer: Prediction) -> Group:
    """Return retention against F, a panel a size: ``o`` runs, dots the fit, P the peak, C the collapse point.

    All panels have the same axes, so that a shift from size to size shows. Of many sizes, six are drawn.
    """
    shown = spread(size_curves(answer.sizes), _MOST)
    x = [math.log(f) for curve in shown for f in (curve.frequency[0], curve.frequency[-1])]
    low, high = min(x), max(x)
    top = max(float(curve.retention.max()) for curve in shown)
    bottom = min(min(float(curve.retention.min()), curve.size.group.chance) for curve in shown)
    margin = 0.06 * (top - bottom or 1)
    limits = (low, bottom - margin, high, top + margin)
    of = f", {len(shown)} of {len(answer.sizes)} sizes" if len(shown) < len(answer.sizes) else ""
    grid = Table.grid(padding=(0, 3))
    panels = [_panel(curve, limits, _COLOURS[at % len(_COLOURS)]) for at, curve in enumerate(shown)]
    for first in range(0, len(panels), 2):
        grid.add_row(*panels[first : first + 2])
    caption = Text(f"Held-out retention against F{of}", style="bold")
    caption.append("  o runs, line: fit, P peak, C collapse point\n", style="dim")
    return Group(caption, grid)


def law_chart(answer: Prediction, width: int = 68) -> Padding:
    """Return F_c against N: ``o`` sizes with their intervals, ``^`` bounds, dots the law and its band, T the target."""
    curve = law_curve(answer, points=width)
    ends = [*curve.value, *(end for end in (*curve.low, *curve.high) if 0 < end < math.inf)]
    n = [*curve.params]
    if curve.target:
        n, ends = [*n, curve.target[0]], [*ends, *curve.target[1:]]
    low, high, left, right = math.log(min(ends)), math.log(max(ends)), math.log(min(n)), math.log(max(n))
    side, over = 0.02 * (right - left) or 1, 0.08 * (high - low) or 1
    canvas = canvas_of(width, 10, (left - side, low - over, right + side, high + over))
    bottom, top = low - over, high + over
    for line, colour in ((curve.line, "green"), *((edge, None) for edge in curve.band)):
        for at in range(0, len(curve.grid) - 1, 1 if colour else 2):  # the band's edges are dashed
            y0, y1 = (min(max(math.log(value), bottom), top) for value in line[at : at + 2])
            canvas.line(math.log(curve.grid[at]), y0, math.log(curve.grid[at + 1]), y1, color=colour)
    for params, value, censored in zip(curve.params, curve.value, curve.censored, strict=True):
        mark = {None: "o", "right": "^", "left": "v"}[censored]
        canvas.text(math.log(params), math.log(value), mark, color="bright_cyan")
    if curve.target:
        x = math.log(curve.target[0])
        canvas.line(x, math.log(curve.target[2]), x, math.log(curve.target[3]), color="bright_green")
        canvas.text(x, math.log(curve.target[1]), "T", color="bright_green")
    what = "exposures per fact" if curve.axis == "frequency" else "share of D"
    title = Text(f"Collapse point ({what}) against N", style="bold")
    title.append("  T target, ^ at least", style="dim")
    heights = (short(math.exp(high)), short(math.exp(low)))
    if curve.axis == "share":
        heights = (f"{math.exp(high):.3g}", f"{math.exp(low):.3g}")
    return framed(canvas, title, heights, (f"N={short(math.exp(left))}", short(math.exp(right))), width)


def _panel(curve: SizeCurve, limits: tuple[float, float, float, float], colour: str) -> Padding:
    canvas = canvas_of(_WIDTH, _HEIGHT, limits)
    for at in range(len(curve.grid) - 1):
        canvas.line(
            math.log(curve.grid[at]), curve.fitted[at], math.log(curve.grid[at + 1]), curve.fitted[at + 1], color=colour
        )
    for frequency, retention in zip(curve.frequency, curve.retention, strict=True):
        canvas.text(math.log(frequency), float(retention), "o")
    for letter, point in (("P", curve.peak), ("C", curve.collapse)):
        if point:
            canvas.text(math.log(point[0]), point[1], letter, color="bright_white")
    title = Text(f"N={short(curve.size.group.params)}", style=f"bold {colour}")
    title.append(f"  D={short(curve.size.group.tokens)}", style="dim")
    ends = (short(math.exp(limits[0])), short(math.exp(limits[2])))
    return framed(canvas, title, (f"{limits[3]:.2f}", f"{limits[1]:.2f}"), (f"F={ends[0]}", ends[1]), _WIDTH)
