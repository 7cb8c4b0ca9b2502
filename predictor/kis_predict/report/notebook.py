"""Runs and answers as they show themselves in a notebook: a fragment of HTML without script, everything escaped."""

from __future__ import annotations

from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING

from kis_plugin.amounts import short
from kis_predict.report import page

if TYPE_CHECKING:
    from kis_predict.observed import RunSequence
    from kis_predict.prediction import Prediction

__all__ = ["prediction_html", "runs_html"]

_MOST = 20
_STYLE = """<style>
.kis section { margin: 0 0 1em; }
.kis .amount { font-size: 1.5em; font-weight: 600; margin: 0; }
.kis table { border-collapse: collapse; }
.kis th, .kis td { text-align: right; padding: .2em .7em; }
.kis .charts { display: flex; flex-wrap: wrap; gap: 1em; }
.kis .charts figure { flex: 1 1 380px; margin: 0; max-width: 620px; }
.kis img { width: 100%; background: #fff; }
.kis dt { font-weight: 600; }
</style>"""


def prediction_html(answer: Prediction) -> str:
    """Return the answer with its tables, and with its charts if matplotlib is installed."""
    return f'{_STYLE}<div class="kis">{page.body(answer, charts=find_spec("matplotlib") is not None)}</div>'


def runs_html(runs: RunSequence) -> str:
    """Return a table of the first runs, and what was noticed while they were read."""
    heads = ("N", "D", "F", "retention", "n", "share", "loss", "status", "source")
    rows = [
        (
            short(run.params), short(run.tokens), f"{run.frequency:g}", _number(run.retention), str(run.n or ""),
            _number(run.infused_share()), _number(run.loss), run.status, run.source,
        )
        for run in runs.runs[:_MOST]
    ]  # fmt: skip
    more = f"<p>and {len(runs) - _MOST:,} more</p>" if len(runs) > _MOST else ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in runs.notes)
    count = f"{len(runs):,} run{'s' if len(runs) != 1 else ''}"
    return (
        f'{_STYLE}<div class="kis"><p><b>{count}</b></p>{page.table(heads, rows)}{more}'
        f"{f'<ul>{notes}</ul>' if notes else ''}</div>"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
