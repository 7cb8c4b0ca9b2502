"""The whole answer as one HTML page that needs nothing else: pictures inside, no script, everything escaped."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from kis_plugin.amounts import round_down, short
from kis_predict.prediction import Prediction
from kis_predict.report.hover import Mark, law_marks, sweep_marks
from kis_predict.report.texts import (
    axis_text,
    forgetting_text,
    grouped_warnings,
    holdout_text,
    law_text,
    not_worth_it,
    prefix_text,
    retained_text,
    sensitivity_lines,
    size_heads,
    size_row,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["body", "page", "table"]

_WIDTH = 9.5  # inches: as wide as the page at the size of its text
_EDGE = 25  # per cent of a picture's width
_STYLE = """
:root { color-scheme: light; --ink: #1d2430; --soft: #5b6676; --line: #dfe3ea; --good: #1a7f37; --warn: #9a6700; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f9; color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.05rem; margin: 0 0 .75rem; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; margin: 1rem 0; }
section { padding: 1.25rem 1.5rem; }
.answer { border-left: 6px solid var(--good); }
.weak { border-left: 6px solid var(--warn); }
.amount { font-size: 2rem; font-weight: 650; line-height: 1.2; margin: 0 0 .25rem; }
.soft { color: var(--soft); margin: 0; }
.charts figure { margin: 0 0 1.5rem; min-width: 0; }
.picture { position: relative; }
.dot { position: absolute; width: 14px; height: 14px; margin: -7px 0 0 -7px; border-radius: 50%; }
.dot:hover { box-shadow: 0 0 0 2px var(--ink); z-index: 1; }
.dot:hover::after { content: attr(data-value); position: absolute; bottom: 18px; left: 7px; padding: .2rem .5rem;
  transform: translateX(-50%); background: var(--ink); color: #fff; border-radius: 4px; font: .8125rem system-ui;
  white-space: nowrap; pointer-events: none; }
.left.dot:hover::after { transform: none; }
.right.dot:hover::after { transform: translateX(-100%); }
figcaption { color: var(--soft); font-size: .875rem; }
img { width: 100%; height: auto; display: block; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9375rem; }
th, td { text-align: right; padding: .35rem .75rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.25rem; margin: 0; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
ul { margin: 0; padding-left: 1.2rem; }
li { overflow-wrap: anywhere; }
@media (max-width: 560px) { dl { grid-template-columns: 1fr; } }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""


def page(answer: Prediction, made: str = "") -> str:
    """Return the page. The same answer gives the same text.

    Args:
        answer: What to show.
        made: When, by which version and by which command, for its last line.
    """
    end = f'<p class="soft">{escape(made)}</p>' if made else ""
    title = f"Knowledge infusion for {_target(answer)}"
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{body(answer)}\n{end}</main>\n</body>\n</html>\n"
    )


def body(answer: Prediction, charts: bool = True) -> str:
    """Return the page's content, with charts or without them."""
    parts = [
        f"<h1>Knowledge infusion for {escape(_target(answer))}</h1>",
        f'<p class="soft">Predicted by kis-predict from {sum(len(s.group.runs) for s in answer.sizes):,} runs of '
        f"{len(answer.sizes)} sizes and budgets; intervals are central {answer.confidence * 100:.3g} %.</p>",
        _answer(answer),
        _charts(answer) if charts else "",
        _section("Sizes", table(size_heads(answer.confidence), (size_row(size) for size in answer.sizes)))
        if answer.sizes
        else "",
        _law(answer),
        _section("If a constant of the method changes", _list(sensitivity_lines(answer))) if answer.sensitivity else "",
        _next(answer),
        *(_section(f"Warnings: {title.lower()}", _list(lines)) for title, lines in grouped_warnings(answer.warnings)),
        _section("Assumed", _list(answer.assumptions)) if answer.assumptions else "",
    ]
    return "\n".join(part for part in parts if part)


def _target(answer: Prediction) -> str:
    tokens = "" if answer.target.tokens is None else f", D = {short(answer.target.tokens)}"
    return f"N = {short(answer.target.params)}{tokens}"


def _answer(answer: Prediction) -> str:
    recommended = answer.recommendation
    if recommended is None:
        weak = "No prediction: the evidence is too weak" if answer.collapse is None else "No amount is recommended"
        return _section(weak, _list(answer.missing), "weak")
    also = [] if recommended.infused_tokens is None else [f"{short(round_down(recommended.infused_tokens))} tokens"]
    also += [] if recommended.share is None else [f"{round_down(recommended.share):.3g} of D"]
    amounts = "".join(f", {text}" for text in also)
    return _section(
        "Infuse",
        f'<p class="amount">at most {escape(short(round_down(recommended.frequency)))} exposures per fact</p>'
        f'<p class="soft">{escape(f"That is{amounts[1:]}. " if amounts else "")}Predicted risk of collapse '
        f"{recommended.risk:.1%}; limited by: {escape(recommended.binding)}.</p>",
        "answer",
    )


def _charts(answer: Prediction) -> str:
    if not answer.sizes:
        return ""
    from kis_predict.report.chart_data import law_curve
    from kis_predict.report.plot import drawn_sizes, law_figure, sweep_figure

    curves, law = drawn_sizes(answer), law_curve(answer)
    sizes, across = sweep_figure(answer, _WIDTH), law_figure(answer, law, _WIDTH)
    shown = "Values are shown under the pointer."
    charts = [
        _figure(
            sizes,
            "Held-out retention against infusion frequency. Dots: runs, with the standard error that their probes "
            f"leave; lines: the fit; triangle up: peak; triangle down: collapse; dashed: chance. {shown}",
            lambda: sweep_marks(sizes, curves),
        ),
        _figure(
            across,
            "Collapse points against model size, with the law, its band and the target. Open triangles are bounds. "
            f"{shown}",
            lambda: law_marks(across, law, answer),
        ),
    ]
    return f'<section class="charts">{"".join(charts)}</section>'


def _figure(figure: Figure, caption: str, marks: Callable[[], Sequence[Mark]]) -> str:
    """Return a figure with its values over it; ``marks`` is called when the figure has its final layout."""
    from kis_predict.report.plot import render

    picture = base64.b64encode(render(figure, "svg")).decode()
    text = escape(caption)
    # Near an edge the text stands on the inner side.
    dots = "".join(
        f'<span class="{"left " if mark.left < _EDGE else "right " if mark.left > 100 - _EDGE else ""}dot" '
        f'style="left:{mark.left}%;top:{mark.top}%" data-value="{escape(mark.text)}"></span>'
        for mark in marks()
    )
    return (
        f'<figure><div class="picture"><img src="data:image/svg+xml;base64,{picture}" alt="{text}">{dots}</div>'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _law(answer: Prediction) -> str:
    if not (answer.law and answer.collapse):
        return ""
    rows = [("Law", law_text(answer.law)), ("Left out", holdout_text(answer.law))]
    for name, amount in (("Collapse point", answer.collapse), ("Peak", answer.peak)):
        if amount:
            share = "" if amount.share is None else f", a share of {amount.share:.3g}"
            rows.append((name, f"F = {short(amount.frequency)} [{short(amount.low)}, {short(amount.high)}]{share}"))
    rows += [("Retained", retained_text(answer))] if answer.retained else []
    rows += [("From smaller sizes", text)] if (text := prefix_text(answer)) else []
    rows += [("Axis", axis_text(answer.axis))] if answer.axis else []
    rows += [("Forgetting", forgetting_text(answer.forgetting))] if answer.forgetting else []
    if answer.extrapolation and math.isfinite(answer.extrapolation):
        rows.append(("Extrapolation", f"{answer.extrapolation:.3g} times the largest size that collapsed"))
    return _section(
        "At the target", f"<dl>{''.join(f'<dt>{escape(a)}</dt><dd>{escape(b)}</dd>' for a, b in rows)}</dl>"
    )


def _next(answer: Prediction) -> str:
    if not answer.next_runs:
        return ""
    rows = [
        (short(run.params), short(run.tokens), short(run.frequency), f"{run.flops:.2g}", width_of(run))
        for run in answer.next_runs
    ]
    verdict = not_worth_it(answer.next_runs)
    note = f'<p class="soft">{escape(verdict)}</p>' if verdict else ""
    return _section("Runs that would narrow it most", table(("N", "D", "F", "FLOPs", "interval then"), rows) + note)


def _section(title: str, content: str, kind: str = "") -> str:
    return f'<section class="{kind}"><h2>{escape(title)}</h2>{content}</section>'


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of texts."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
