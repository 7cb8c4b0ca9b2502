"""How often each fact was shown, as the end of a run log says: exactly as planned, or not, or nobody counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kis_plugin.run.log import RunLog
from kis_plugin.storage.text_rules import many

__all__ = ["exposures_text", "miscount_of"]


def miscount_of(log: RunLog) -> str | None:
    """Return why the exposures of a run are not those that were planned, or not known; None where they are right."""
    if log.end is None:
        return None
    extra = log.end.extra
    if wrong := extra.get("miscounted"):
        return f"{many(wrong, 'fact', ('was', 'were'))} not shown as often as planned"
    if extra.get("mismatched"):
        return "a resumed start trained on another plan than the one before"
    if extra.get("counted_from_step"):
        return f"exposures were counted from step {extra['counted_from_step']} only"
    if extra.get("uncounted"):
        return "the weights had been trained on infused text before, which was not counted"
    return None


def exposures_text(log: RunLog) -> str:
    """Return how often each fact was shown: ``each exactly 64 times``."""
    planned, end = log.run.frequency, log.end
    if end is None:
        return f"{planned:.6g} exposures of each planned"
    shown = _span(end.achieved_frequency)
    if shown is None:
        return f"F = {planned:.6g}; the log does not say how often each was shown"
    due = _span(end.extra.get("requested_frequency")) or f"{planned:.6g}"
    if (since := end.extra.get("counted_from_step")) and not end.extra.get("miscounted"):
        return f"each {shown} of {due} times from step {since} on; what was shown before is not known"
    if miscount_of(log):
        return f"each {shown} times, {due} planned: NOT as planned"
    if end.extra.get("throttled"):
        return f"each {shown} times as throttled, {_span(end.extra.get('requested_frequency'))} planned"
    if "miscounted" in end.extra:
        return f"each exactly {shown} times" if " to " not in shown else f"each {shown} times, exactly as planned"
    return f"each {shown} times" if shown == due else f"each {shown} of {due} times"


def _span(summary: Mapping[str, Any] | None) -> str | None:
    """Return the least and the most of a summary of exposures."""
    if not isinstance(summary, Mapping) or not {"min", "max"} <= summary.keys():
        return None
    ends = [value for value in (summary["min"], summary["max"]) if isinstance(value, (int, float))]
    return " to ".join(dict.fromkeys(f"{value:,.6g}" for value in ends)) if len(ends) == 2 else None
