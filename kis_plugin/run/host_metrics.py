"""What retention and general loss are called in a host's own log, the same in every framework."""

from __future__ import annotations

from collections.abc import Sequence

from kis_plugin.run.log import GENERAL, Loss, Record, Retention

__all__ = ["host_metrics"]


def host_metrics(records: Sequence[Record]) -> dict[str, float]:
    """Return the numbers of some records by name; empty if there are none.

    Accuracy of each retention series as ``retention/<series>``, with its margin (nats) and bits per byte beside it; of
    a part of a series, whose name has a slash, accuracy alone. Loss on general text that KIS measured itself (nats
    per token) as ``retention/general_loss``, other loss not: it comes from the host.
    """
    metrics: dict[str, float | None] = {}
    for record in records:
        if isinstance(record, Retention):
            metrics[f"retention/{record.probe}"] = record.accuracy
            if "/" not in record.probe:
                metrics[f"retention/{record.probe}_margin"] = record.margin
                metrics[f"retention/{record.probe}_bits_per_byte"] = record.bits_per_byte
        elif isinstance(record, Loss) and record.split == GENERAL:
            metrics[f"retention/{GENERAL}_loss"] = record.loss
            metrics[f"retention/{GENERAL}_bits_per_byte"] = record.extra.get("bits_per_byte")
    return {name: value for name, value in metrics.items() if value is not None}
