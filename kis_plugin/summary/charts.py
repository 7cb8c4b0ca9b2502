"""What the charts of runs draw, whatever draws them: the terminal, a page or matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kis_plugin.escapes import escaped
from kis_plugin.retention.series import ABOVE_CONTROL, CONTROL, SEEN
from kis_plugin.run.log import GENERAL
from kis_plugin.summary.history import History
from kis_plugin.summary.texts import NAMES

__all__ = ["MOST", "Chart", "Line", "Mark", "charts_of"]

MOST = 6
"""Runs of a comparison that are drawn; more are only listed."""


@dataclass(frozen=True)
class Mark:
    """One measured point.

    Attributes:
        x: Training tokens.
        y: The value.
        low: Lower end of its interval, ``y`` where there is none.
        high: Upper end.
        text: The point in words.
    """

    x: float
    y: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Line:
    """One series of one run.

    Attributes:
        name: For the legend.
        marks: In the order of steps.
        banded: Whether its interval is drawn.
    """

    name: str
    marks: tuple[Mark, ...]
    banded: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines over training tokens.

    Attributes:
        title: What is measured.
        lines: The lines; at least one, each with at least one mark.
        reference: Height of a horizontal line, such as chance; None for none.
        reference_name: What it is.
    """

    title: str
    lines: tuple[Line, ...]
    reference: float | None = None
    reference_name: str = ""

    @property
    def limits(self) -> tuple[float, float, float, float]:
        """Least x, least y, greatest x, greatest y, with some room above and below."""
        marks = [mark for line in self.lines for mark in line.marks]
        heights = [end for line in self.lines for mark in line.marks for end in _ends(line, mark)]
        heights += [] if self.reference is None else [self.reference]
        low, high, right = min(heights), max(heights), max(mark.x for mark in marks)
        room = 0.06 * (high - low) or 0.05
        return 0.0, low - room, right or 1.0, high + room


def _ends(line: Line, mark: Mark) -> tuple[float, ...]:
    return (mark.low, mark.high) if line.banded else (mark.y,)


def charts_of(histories: Sequence[History]) -> list[Chart]:
    """Return accuracy, retention minus control, and general loss; of one run with all its series, or of several."""
    alone = len(histories) == 1
    shown = histories[:MOST]
    first = shown[0]
    accuracy: list[Line] = []
    for number, history in enumerate(shown, start=1):
        names = (history.main, SEEN, CONTROL) if alone else (history.main,)
        for name in dict.fromkeys(names):
            label = NAMES.get(name or "", escaped(name or "")) if alone else f"{number}"
            accuracy += _line(history, name, label, banded=name == history.main and alone)
    above = [
        line
        for number, history in enumerate(shown, start=1)
        for line in _line(history, ABOVE_CONTROL, "" if alone else f"{number}", banded=alone)
    ]
    losses = [
        line for number, history in enumerate(shown, start=1) for line in _loss(history, "" if alone else f"{number}")
    ]
    last = first.last(first.main)
    chance = last.chance if last else None
    split = first.general_split or ""
    loss_title = "General loss" if split == GENERAL else f"Loss on {escaped(split)}"
    found = [
        Chart("Accuracy" if alone else "Held-out accuracy", tuple(accuracy), chance, f"chance {chance or 0:.3g}"),
        Chart("Held-out minus control", tuple(above), 0.0, "control"),
        Chart(loss_title if alone else "General loss", tuple(losses)),
    ]
    return [chart for chart in found if chart.lines]


def _line(history: History, name: str | None, label: str, banded: bool) -> Iterator[Line]:
    sign = "+" if name == ABOVE_CONTROL else ""
    marks = tuple(
        Mark(
            one.tokens, point.accuracy, point.low, point.high,
            f"step {one.step:,}: {point.accuracy:{sign}.3f} [{point.low:{sign}.3f}, {point.high:{sign}.3f}]",
        )
        for one in history.evaluations
        if name is not None and (point := one.series.get(name)) is not None
    )  # fmt: skip
    if marks:
        yield Line(label, marks, banded)


def _loss(history: History, label: str) -> Iterator[Line]:
    records = [record for record in history.log.loss if record.split == history.general_split]
    by_step = {record.step: record for record in records}
    marks = tuple(
        Mark(record.tokens, record.loss, record.loss, record.loss, f"step {step:,}: {record.loss:.3f}")
        for step, record in sorted(by_step.items())
    )
    if marks:
        yield Line(label, marks)
