"""Names of retention and general loss in a host's own log: the same in every framework."""

from __future__ import annotations

from collections.abc import Sequence

from kis_plugin.run.log import GENERAL, Loss, Record, Retention

__all__ = ["CHANCE", "host_metrics"]

CHANCE = "retention/chance"
"""What a guess gives in the held-out series: a level line, and no series to choose a model by."""


def host_metrics(records: Sequence[Record], everything: bool = False) -> dict[str, float]:
    """Return the numbers of some records by name; empty if there are none.

    Accuracy of each whole retention series is ``retention/<series>``, and loss on the general text that KIS measures
    itself (nats per token) ``retention/general_loss``. ``retention/chance`` is what a guess gives in the held-out
    series, a level line to draw with it. Other losses come from the host and are left out.

    Args:
        records: Of one evaluation.
        everything: Whether to add margins (nats), bits per byte, and the accuracy of parts of series, whose names have
            a slash: a hundred numbers and more where there are many relations.
    """
    metrics: dict[str, float | None] = {}
    for record in records:
        if isinstance(record, Retention) and "/" not in record.probe:
            metrics[f"retention/{record.probe}"] = record.accuracy
            if record.probe == "held_out":
                metrics[CHANCE] = record.extra.get("chance")
            if everything:
                metrics[f"retention/{record.probe}_margin"] = record.margin
                metrics[f"retention/{record.probe}_bits_per_byte"] = record.bits_per_byte
        elif isinstance(record, Retention) and everything:
            metrics[f"retention/{record.probe}"] = record.accuracy
        elif isinstance(record, Loss) and record.split == GENERAL:
            metrics[f"retention/{GENERAL}_loss"] = record.loss
            if everything:
                metrics[f"retention/{GENERAL}_bits_per_byte"] = record.extra.get("bits_per_byte")
    return {name: value for name, value in metrics.items() if value is not None}
