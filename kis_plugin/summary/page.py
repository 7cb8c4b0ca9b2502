"""Runs as one HTML page that needs nothing else: curves as SVG, their values on hover by CSS, no script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

from kis_plugin.amounts import short
from kis_plugin.escapes import escaped
from kis_plugin.summary.charts import MOST, Chart, Line, Mark, charts_of
from kis_plugin.summary.history import History
from kis_plugin.summary.texts import summary_lines
from kis_plugin.summary.verdict import verdict_of

__all__ = ["page"]

_COLOURS = ("#1f6feb", "#1a7f37", "#9a6700", "#8250df", "#0a7c86", "#cf222e")
_STYLE = """
:root { color-scheme: light; --ink: #1d2430; --soft: #5b6676; --line: #dfe3ea; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f9; color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; margin: 1rem 0; padding: 1.25rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1rem; }
.charts section { margin: 0; min-width: 0; }
.charts section:first-child { grid-column: 1 / -1; }
svg { width: 100%; height: auto; display: block; overflow: visible; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.key { color: var(--soft); font-size: .875rem; margin: 0; }
.key span { margin-right: 1.25rem; white-space: nowrap; }
.tip { visibility: hidden; pointer-events: none; }
.tip rect { fill: var(--ink); }
.tip text { fill: #fff; text-anchor: middle; }
.at:hover .tip, .at:focus .tip, .at:target .tip { visibility: visible; }
.at { outline: none; }
pre { margin: 0; overflow-x: auto; font: .875rem/1.5 ui-monospace, "Cascadia Mono", Menlo, monospace; }
@media (max-width: 560px) { .charts { grid-template-columns: 1fr; } }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""
_LEFT, _TOP, _BELOW = 46, 8, 22  # pixels around the drawing
_CHARACTER = 6.2  # pixels of a letter of a tip
_Place = Callable[[float, float], tuple[float, float]]
"""From training tokens and a value to pixels."""


def page(histories: Sequence[History]) -> str:
    """Return the page. The same logs give the same text."""
    only = len(histories) == 1
    title = f"Run {histories[0].run.run_id}" if only else f"{len(histories)} runs"
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    charts = charts_of(histories)
    sizes = [(980, 260) if at == 0 else (460, 220) for at in range(len(charts))]
    drawn = "".join(
        _chart(chart, number, *size) for number, (chart, size) in enumerate(zip(charts, sizes, strict=True))
    )
    some = f'<p class="key">Curves of the first {MOST} runs.</p>' if len(histories) > MOST else ""
    runs = "".join(_summary(history, None if only else number) for number, history in enumerate(histories, start=1))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{_text(title)}</h1>\n<div class="charts">{drawn}</div>{some}\n{runs}\n</main>\n</body>\n</html>\n'
    )


def _text(text: str) -> str:
    return escape(escaped(text))


def _summary(history: History, number: int | None) -> str:
    head = f"{number}. {history.run.run_id}: " if number else ""
    lines = escape("\n".join(summary_lines(history)))
    return f"<section><h2>{_text(head + verdict_of(history).name)}</h2><pre>{lines}</pre></section>"


def _chart(chart: Chart, number: int, width: int, height: int) -> str:
    """Return one chart; its points show their values under the pointer, with the tabulator key, and as link targets."""
    left, low, right, high = chart.limits

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - left) / (right - left) * (width - _LEFT - 10)
        return across, _TOP + (high - y) / (high - low) * (height - _TOP - _BELOW)

    parts = [*_axes(chart, place, width, height)]
    tips: list[str] = []
    for at, line in enumerate(chart.lines):
        colour = _COLOURS[at % len(_COLOURS)]
        parts += _curve(line, colour, place)
        for step, mark in enumerate(line.marks):
            name = f"{line.name}, " if line.name else ""
            tips.append(_point(mark, name, f"c{number}-{at}-{step}", colour, place, width))
    keys = [
        f'<span><svg width="14" height="10" style="display:inline;width:14px"><rect y="4" width="14" height="3" '
        f'fill="{_COLOURS[at % len(_COLOURS)]}"/></svg> {_text(line.name)}</span>'
        for at, line in enumerate(chart.lines)
        if line.name
    ]
    keys += [] if chart.reference is None else [f"<span>dashed: {chart.reference_name}</span>"]
    return (
        f'<section><h2>{_text(chart.title)}</h2><svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{_text(chart.title)} over training tokens">{"".join(parts)}{"".join(tips)}</svg>'
        f'<p class="key">{"".join(keys)}</p></section>'
    )


def _axes(chart: Chart, place: _Place, width: int, height: int) -> Iterator[str]:
    left, low, right, high = chart.limits
    for part in (0.1, 0.5, 0.9):
        value = low + part * (high - low)
        _, y = place(left, value)
        yield f'<line x1="{_LEFT}" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eceff3"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>'
    for part, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        x, _ = place(left + part * (right - left), low)
        tokens = f"{short(part * right)}{' tokens' if part == 1 else ''}"
        yield f'<text x="{x:.1f}" y="{height - 5}" text-anchor="{anchor}">{tokens}</text>'
    if chart.reference is not None:
        _, y = place(left, chart.reference)
        dashes = 'stroke="#8a94a3" stroke-dasharray="5 4"'
        yield f'<line x1="{_LEFT}" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}" {dashes}/>'


def _curve(line: Line, colour: str, place: _Place) -> Iterator[str]:
    if line.banded and len(line.marks) > 1:
        edge = [place(mark.x, mark.high) for mark in line.marks]
        edge += [place(mark.x, mark.low) for mark in reversed(line.marks)]
        yield f'<polygon points="{_points(edge)}" fill="{colour}" opacity=".14"/>'
    course = _points([place(mark.x, mark.y) for mark in line.marks])
    yield f'<polyline points="{course}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _point(mark: Mark, name: str, anchor: str, colour: str, place: _Place, width: int) -> str:
    x, y = place(mark.x, mark.y)
    text = f"{name}{mark.text}"
    half = len(text) * _CHARACTER / 2 + 8
    middle = min(max(x, half), width - half)
    above = y - 34 if y > 44 else y + 12
    return (
        f'<g class="at" id="{anchor}" tabindex="0"><circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="10" fill="transparent"/><g class="tip"><rect x="{middle - half:.1f}" '
        f'y="{above:.1f}" width="{2 * half:.1f}" height="22" rx="4"/>'
        f'<text x="{middle:.1f}" y="{above + 15:.1f}">{_text(text)}</text></g></g>'
    )
