"""What retention is called in a host's own log, the same in every framework."""

from __future__ import annotations

from collections.abc import Sequence

from kis_plugin.runlog import Record, Retention

__all__ = ["host_metrics"]


def host_metrics(records: Sequence[Record]) -> dict[str, float]:
    """Return accuracy and margin (nats) of each retention series, as ``retention/<series>``; empty if there is none."""
    metrics: dict[str, float] = {}
    for record in records:
        if isinstance(record, Retention):
            metrics[f"retention/{record.probe}"] = record.accuracy
            if record.margin is not None:
                metrics[f"retention/{record.probe}_margin"] = record.margin
    return metrics
