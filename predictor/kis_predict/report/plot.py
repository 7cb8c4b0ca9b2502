"""The sweep and the law as a picture for a paper: matplotlib, the extra ``kis-plugin[plot]``."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from kis_plugin.amounts import round_down, short
from kis_predict.prediction import Prediction
from kis_predict.report.chart_data import LawCurve, SizeCurve, law_curve, size_curves, spread

__all__ = ["draw", "drawn_sizes", "law_figure", "render", "sweep_figure"]

_STYLE: Any = {
    "font.size": 9.0, "axes.titlesize": 9.5, "axes.labelsize": 9.0, "legend.fontsize": 8.0, "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
    "svg.hashsalt": "kis", "pdf.fonttype": 42, "legend.frameon": False, "figure.constrained_layout.use": True,
}  # fmt: skip
_COLUMN, _PANELS = 5.6, 8.2
"""Inches: width of a figure of its own, and of a grid of panels."""
_TOGETHER = 6
_MOST = 12
_SHORT = 0.8
"""Decades of an axis that 1, 2 and 5 would leave with a label or two."""
_TARGET = "#c1272d"


def draw(answer: Prediction, ending: str) -> bytes:
    """Return the whole picture as ``png``, ``svg`` or ``pdf``; the same answer gives the same bytes."""
    with mpl.rc_context(_STYLE):
        curves = drawn_sizes(answer)
        together = len(curves) <= _TOGETHER
        rows = 1 if together else math.ceil(len(curves) / 4)
        if together:
            figure = Figure(figsize=(8.2, 3.5))
            left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
            _overlay(left, curves)
            _law(right, answer, law_curve(answer))
        else:
            figure = Figure(figsize=(8.2, 1.75 * rows + 3.2))
            parts: Any = figure.subfigures(2, 1, height_ratios=(1.75 * rows, 3.2))
            above, below = parts
            _panels(above, curves, len(answer.sizes))
            _law(below.subplots(), answer, law_curve(answer))
        return render(figure, ending)


def drawn_sizes(answer: Prediction) -> list[SizeCurve]:
    """Return the sizes that pictures show: all, or the smallest, the largest and some between."""
    return spread(size_curves(answer.sizes), _MOST)


def sweep_figure(answer: Prediction, width: float = _COLUMN) -> Figure:
    """Return retention against F of every size, ``width`` inches wide: together if they are few, else a panel each."""
    with mpl.rc_context(_STYLE):
        curves = drawn_sizes(answer)
        if len(curves) <= _TOGETHER:
            figure = Figure(figsize=(width, _height(width)))
            _overlay(figure.subplots(), curves)
        else:
            width = max(width, _PANELS)
            figure = Figure(figsize=(width, 0.235 * width * math.ceil(len(curves) / 4)))
            _panels(figure, curves, len(answer.sizes))
        return figure


def law_figure(answer: Prediction, curve: LawCurve | None = None, width: float = _COLUMN) -> Figure:
    """Return the collapse points against N with the law, its band and the target, ``width`` inches wide."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, _height(width)))
        _law(figure.subplots(), answer, curve or law_curve(answer))
        return figure


def _height(width: float) -> float:
    return max(3.5, width / 2)


def render(figure: Figure, ending: str) -> bytes:
    """Return the bytes of a figure, without the time at which it was made."""
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    content = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(content, format=ending, dpi=200, metadata=dates.get(ending))
    return content.getvalue()


def _overlay(axes: Axes, curves: Sequence[SizeCurve]) -> None:
    for curve, colour in zip(curves, _colours(curves), strict=True):
        group = curve.size.group
        first = next(one for one in curves if one.size.group.params == group.params)
        label = f"{short(group.params)}  (D = {short(group.tokens)})"
        _one(axes, curve, colour, label, "-" if first is curve else "--")
    _retention_axes(axes, curves)
    handles, labels = axes.get_legend_handles_labels()
    handles += [
        axes.plot([], [], marker=mark, ls="none", color="0.3", ms=6, mfc=fill)[0]
        for mark, fill in (("^", "white"), ("v", "0.3"))
    ]
    axes.legend(handles, [*labels, "peak", "collapse"], title="N", loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.set(xlabel="infusion frequency $F$ (exposures per fact)", ylabel="held-out retention")


def _panels(figure: Any, curves: Sequence[SizeCurve], sizes: int) -> None:
    columns = min(4, len(curves))
    rows = math.ceil(len(curves) / columns)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, curve, colour in zip(grid.flat, curves, _colours(curves), strict=False):
        group = curve.size.group
        _one(axes, curve, colour, "")
        axes.set_title(f"N = {short(group.params)}, D = {short(group.tokens)}", fontsize=8.5)
        _retention_axes(axes, curves)
        axes.tick_params(labelbottom=True, labelleft=True)  # shared axes have labels at the edge of the grid alone
    for axes in list(grid.flat)[len(curves) :]:
        axes.set_visible(False)
    some = f";  {len(curves)} of {sizes} sizes" if len(curves) < sizes else ""
    label = f"infusion frequency $F$ (exposures per fact);  triangle up: peak, down: collapse{some}"
    figure.supxlabel(label, fontsize=9)
    figure.supylabel("held-out retention", fontsize=9)


def _one(axes: Axes, curve: SizeCurve, colour: Any, label: str, dashes: str = "-") -> None:
    error = None if np.isnan(curve.error).any() else curve.error
    axes.errorbar(
        curve.frequency, curve.retention, error, fmt="o", ms=3, lw=0, elinewidth=0.7, color=colour, alpha=0.75
    )
    axes.plot(curve.grid, curve.fitted, color=colour, lw=1.4, ls=dashes, label=label or None)
    for point, mark, fill in ((curve.peak, "^", "white"), (curve.collapse, "v", colour)):
        if point:
            axes.plot(*point, marker=mark, ms=7, mfc=fill, mec=colour, mew=1.2, zorder=5)


def _retention_axes(axes: Axes, curves: Sequence[SizeCurve]) -> None:
    axes.set_xscale("log")
    for chance in sorted({curve.size.group.chance for curve in curves}):
        axes.axhline(chance, color="0.6", lw=0.8, ls=(0, (4, 3)), zorder=0)
    low = min(min(curve.retention.min(), curve.size.group.chance) for curve in curves)
    high = max(max(curve.retention.max(), curve.fitted.max()) for curve in curves)
    axes.set_ylim(max(0.0, low - 0.06), min(1.0, high + 0.07))
    _plain_ticks(axes.xaxis, _spelt)


def _law(axes: Axes, answer: Prediction, curve: LawCurve) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    if len(sizes := {*curve.params, *(curve.target or ())[:1]}) == 1:
        axes.set_xlim(min(sizes) / 2, 2 * max(sizes))  # one size alone leaves matplotlib no range
    if len(curve.grid):
        label = f"{answer.confidence * 100:.3g} % band"
        axes.fill_between(curve.grid, *curve.band, color="#3b6fb6", alpha=0.16, lw=0, label=label)
        axes.plot(curve.grid, curve.line, color="#3b6fb6", lw=1.4, label=_law_name(answer))
    _law_points(axes, curve)
    if curve.target:
        n, value, low, high = curve.target
        axes.errorbar(
            [n], [value], [[value - low], [high - value]], fmt="*", ms=11, color=_TARGET, elinewidth=1.4, capsize=3,
            label=f"target, N = {short(answer.target.params)}", zorder=6,
        )  # fmt: skip
    if curve.target and answer.recommendation and answer.collapse:
        scale = value / answer.collapse.frequency
        label = f"recommended: at most {short(round_down(answer.recommendation.frequency))} exposures"
        axes.plot([n], [answer.recommendation.frequency * scale], "_", ms=16, mew=2.2, color="#1a7f37", label=label)
    _law_limits(axes, curve)
    what = "collapse point $F_c$ (exposures per fact)" if curve.axis == "frequency" else "collapse point (share of D)"
    axes.set(xlabel="model size $N$ (parameters)", ylabel=what)
    if axes.get_legend_handles_labels()[1]:
        # Above a share of 1 there is no room for a legend.
        full = curve.axis == "share" and axes.get_ylim()[1] >= 1
        place: Any = {} if full else {"bbox_to_anchor": (0.0, 1.0)}
        axes.legend(loc="best" if full else "upper left", borderaxespad=0.2, **place)


def _law_points(axes: Axes, curve: LawCurve) -> None:
    labelled: set[str] = set()
    marks = {None: ("o", "size"), "right": ("^", "no collapse up to here"), "left": ("v", "falls from here or below")}
    for at, censored in enumerate(curve.censored):
        mark, label = marks[censored]
        error = None
        if censored is None:
            error = [[curve.value[at] - curve.low[at]], [curve.high[at] - curve.value[at]]]
        axes.errorbar(
            [curve.params[at]], [curve.value[at]], error, fmt=mark, ms=5, color="0.15", elinewidth=1, capsize=2,
            mfc="0.15" if censored is None else "white", label=None if label in labelled else label, zorder=4,
        )  # fmt: skip
        labelled.add(label)


def _law_limits(axes: Axes, curve: LawCurve) -> None:
    """Leave room above for the legend, and keep a wild band from flattening the points."""
    ends = [*curve.value, *(end for end in (*curve.low, *curve.high) if 0 < end < math.inf), *(curve.target or ())[1:]]
    low, high = math.log(min(ends)), math.log(max(ends))
    span = max(high - low, math.log(2))
    top = math.exp(high + 0.75 * span)
    axes.set_ylim(math.exp(low - 0.15 * span), min(top, 1.0) if curve.axis == "share" else top)
    _plain_ticks(axes.xaxis, short)
    _plain_ticks(axes.yaxis, _spelt)


def _law_name(answer: Prediction) -> str:
    assert answer.law
    exponent = answer.law.parameters.get("b")
    formula = answer.law.formula.replace("$", r"\$")  # a plugin's text, not mathematics to be set
    return formula if exponent is None else f"{formula}, b = {exponent:.2g}"


def _plain_ticks(axis: Any, spell: Callable[[float], str]) -> None:
    """Label ticks as people write amounts; of an axis of a few decades also within each."""
    low, high = sorted(axis.get_view_interval())
    decades = math.log10(high / low)
    within = (1.0,) if decades > 2.5 else (1.0, 2.0, 5.0) if decades > _SHORT else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
    axis.set_major_locator(LogLocator(subs=within, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, at: spell(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _spelt(value: float) -> str:
    return short(value) if value >= 1 else f"{value:.3g}"


def _colours(curves: Sequence[SizeCurve]) -> list[Any]:
    """Return a colour by size: the larger, the darker; budgets of one size have the same."""
    sizes = sorted({curve.size.group.params for curve in curves})
    parts = [sizes.index(curve.size.group.params) / max(len(sizes) - 1, 1) for curve in curves]
    return [mpl.colormaps["viridis"](0.88 * (1 - part)) for part in parts]
