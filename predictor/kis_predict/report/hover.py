"""Values of the points of a figure, where a page shows them under the pointer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kis_plugin.amounts import round_down, short
from kis_predict.prediction import Prediction
from kis_predict.report.chart_data import LawCurve, SizeCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Mark", "law_marks", "sweep_marks"]


@dataclass(frozen=True)
class Mark:
    """A place in a picture and what it shows.

    Attributes:
        left: From the picture's left edge, per cent of its width.
        top: From its top, per cent of its height.
        text: The values.
    """

    left: float
    top: float
    text: str


def sweep_marks(figure: Figure, curves: Sequence[SizeCurve]) -> list[Mark]:
    """Return the points, peaks and collapse points of the sizes in a figure of them that has been rendered.

    Args:
        figure: With one panel for all curves, or with one for each, in their order.
        curves: The sizes in it.
    """
    every = figure.axes
    panels = every if len(every) >= len(curves) > 1 else [every[0]] * len(curves)
    found: list[Mark] = []
    for axes, curve in zip(panels, curves, strict=False):
        name = f"N = {short(curve.size.group.params)}, D = {short(curve.size.group.tokens)}"
        for frequency, retention in zip(curve.frequency, curve.retention, strict=True):
            found += _at(figure, axes, frequency, retention, f"{name}: F = {short(frequency)}, {retention:.3f}")
        for kind, point in (("peak", curve.peak), ("collapse", curve.collapse)):
            if point:
                found += _at(figure, axes, *point, f"{name}: {kind} at F = {short(point[0])}, {point[1]:.3f}")
    return found


def law_marks(figure: Figure, curve: LawCurve, answer: Prediction) -> list[Mark]:
    """Return the collapse points and the target in a figure of the law that has been rendered."""
    axes, unit = figure.axes[0], "F" if curve.axis == "frequency" else "share"
    found: list[Mark] = []
    for at, n in enumerate(curve.params):
        value, censored = float(curve.value[at]), curve.censored[at]
        ends = f" [{_amount(curve.low[at])}, {_amount(curve.high[at])}]" if censored is None else ""
        sign = {None: "=", "right": ">", "left": "<"}[censored]
        text = f"N = {short(float(n))}: collapse at {unit} {sign} {_amount(value)}{ends}"
        found += _at(figure, axes, float(n), value, text)
    if curve.target:
        n, value, low, high = curve.target
        text = f"N = {short(n)}: predicted at {unit} = {_amount(value)} [{_amount(low)}, {_amount(high)}]"
        if answer.recommendation:
            text += f"; recommended: F = {short(round_down(answer.recommendation.frequency))}"
        found += _at(figure, axes, n, value, text)
    return found


def _at(figure: Figure, axes: Axes, x: float, y: float, text: str) -> Iterator[Mark]:
    """Yield the mark of a point, unless it lies outside of the picture."""
    across, up = axes.transData.transform((x, y)) / (figure.bbox.width, figure.bbox.height)
    if 0 <= across <= 1 and 0 <= up <= 1:
        yield Mark(round(100 * float(across), 2), round(100 - 100 * float(up), 2), text)


def _amount(value: float) -> str:
    return short(value) if value >= 1 else f"{value:.3g}"
