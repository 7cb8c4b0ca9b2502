"""Charts in the terminal: plotille draws on braille cells, rich sets the frame."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

__all__ = ["can_draw", "canvas_of", "framed"]


def can_draw(console: Console) -> bool:
    """Return whether plotille is there and the terminal shows braille."""
    return find_spec("plotille") is not None and console.encoding.lower().replace("-", "").startswith("utf")


def canvas_of(width: int, height: int, limits: tuple[float, float, float, float]) -> Any:
    """Return an empty canvas.

    Args:
        width: Characters.
        height: Lines.
        limits: Least x, least y, greatest x and greatest y.
    """
    canvas: Any = import_module("plotille").Canvas
    return canvas(width, height, *limits, mode="names")


def framed(canvas: Any, title: Text, heights: tuple[str, str], ends: tuple[str, str], width: int) -> Padding:
    """Return a canvas under its title, between an axis on the left and one below.

    Args:
        canvas: The drawing.
        title: Above it.
        heights: Labels of the upper and of the lower end of the left axis.
        ends: Labels of both ends of the axis below.
        width: Characters of the canvas.
    """
    from rich.padding import Padding
    from rich.text import Text

    lines = canvas.plot().split("\n")
    side = max(map(len, heights))
    body = Text.assemble(" " * (side + 1), title, "\n")
    for at, line in enumerate(lines):
        label = heights[0] if at == 0 else heights[1] if at == len(lines) - 1 else ""
        body.append(f"{label:>{side}}", style="dim")
        body.append("┤" if label else "│", style="dim")
        body.append(Text.from_ansi(line))
        body.append("\n")
    body.append(" " * side + "└" + "─" * width + "\n", style="dim")
    body.append(" " * (side + 1) + ends[0] + ends[1].rjust(width - len(ends[0])), style="dim")
    return Padding(body, (0, 0, 1, 0), expand=False)  # in a pipe, lines are as wide as what they hold
