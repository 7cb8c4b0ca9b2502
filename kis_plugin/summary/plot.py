"""The curves of runs as a picture, with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from kis_plugin.amounts import short
from kis_plugin.summary.charts import Chart, charts_of
from kis_plugin.summary.history import History

__all__ = ["picture"]

# Names of runs are text: no dollar starts a formula, and letters in an SVG stay letters.
_STYLE: Any = {"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "kis", "font.size": 9}
_DATES: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def picture(histories: Sequence[History], ending: str) -> bytes:
    """Return the bytes of a picture; the same logs give the same ones.

    Args:
        histories: The runs.
        ending: ``svg``, ``png`` or ``pdf``.
    """
    content = io.BytesIO()
    with mpl.rc_context(_STYLE):
        charts = charts_of(histories)
        figure = Figure(figsize=(4.2 * len(charts), 3.2), layout="constrained")
        for axes, chart in zip(figure.subplots(1, len(charts), squeeze=False)[0], charts, strict=True):
            _draw(axes, chart)
        figure.savefig(content, format=ending, dpi=200, metadata=_DATES.get(ending))
    return content.getvalue()


def _draw(axes: Any, chart: Chart) -> None:
    for number, line in enumerate(chart.lines):
        colour = f"C{number}"
        x, y = [mark.x for mark in line.marks], [mark.y for mark in line.marks]
        axes.plot(x, y, "o-", ms=3, lw=1.4, color=colour, label=line.name or None)
        if line.banded:
            low, high = [mark.low for mark in line.marks], [mark.high for mark in line.marks]
            axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    if chart.reference is not None:
        axes.axhline(chart.reference, color="0.6", lw=0.8, ls=(0, (4, 3)), zorder=0, label=chart.reference_name)
    axes.set_title(chart.title, fontsize=10)
    axes.set_xlabel("training tokens")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, at: short(value)))
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False)
