"""Runs as plain values, for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kis_plugin.summary.exposures import miscount_of
from kis_plugin.summary.history import History, Point
from kis_plugin.summary.verdict import verdict_of

__all__ = ["runs_object"]


def runs_object(histories: Sequence[History]) -> dict[str, Any]:
    """Return runs as plain values."""
    return {"status": "ok", "runs": [_run(history) for history in histories]}


def _run(history: History) -> dict[str, Any]:
    run, end, verdict = history.run, history.log.end, verdict_of(history)
    return {
        "run_id": run.run_id,
        "log": str(history.log.path),
        "state": end.status if end else "unfinished",
        "framework": run.framework,
        "params": run.params,
        "tokens": run.tokens,
        "frequency": run.frequency,
        "facts": run.facts,
        "share": run.share,
        "achieved_frequency": dict(end.achieved_frequency) if end and end.achieved_frequency else None,
        "miscount": miscount_of(history.log),
        "retention": history.main,
        "evaluations": [
            {
                "step": one.step,
                "tokens": one.tokens,
                "series": {name: _point(point) for name, point in one.series.items()},
            }
            for one in history.evaluations
        ],
        "losses": {
            split: [{"step": step, "loss": loss} for step, loss in values] for split, values in history.losses.items()
        },
        "general_split": history.general_split,
        "evaluation_seconds": history.evaluation_seconds,
        "seconds": history.seconds,
        "verdict": {"name": verdict.name, "sentence": verdict.sentence},
    }


def _point(point: Point) -> dict[str, float | int | None]:
    return {
        "accuracy": point.accuracy,
        "low": point.low,
        "high": point.high,
        "chance": point.chance,
        "n": point.n,
    }
