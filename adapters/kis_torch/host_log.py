"""Retention in the log of the program that trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kis_plugin.hook_markers import hookimpl
from kis_plugin.retention.series import CONTROL, HELD_OUT, SEEN
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.host_metrics import CHANCE, host_metrics
from kis_plugin.run.log import Record

__all__ = ["HostLog", "add_chart"]

_TOGETHER = (*(f"retention/{series}" for series in (HELD_OUT, SEEN, CONTROL)), CHANCE)


class HostLog:
    """Run plugin that writes retention to the host's own log.

    Args:
        log: Called on rank 0 with a step and the retention measured there, by the names in the host's log.
    """

    def __init__(self, log: Callable[[int, Mapping[str, float]], None]) -> None:
        self._log = log

    @hookimpl
    def kis_metrics(self, run: TrainingRun, records: Sequence[Record]) -> None:
        """Log what the records hold, if it goes to the host's log."""
        if metrics := host_metrics(records, run.config.retention.host_metrics == "all"):
            self._log(int(getattr(records[0], "step", 0)), metrics)


def add_chart(writers: Iterable[Any], names: Iterable[str], group: str = "") -> None:
    """Have TensorBoard draw retention and chance in one chart, on its page *Custom Scalars*.

    Args:
        writers: ``SummaryWriter`` of torch or tensorboardX; what is none, such as another logger's, is passed over.
        names: What the host logs, as ``host_metrics`` names it.
        group: What the host puts before these names.
    """
    logged = set(names)
    tags = [group + name for name in _TOGETHER if name in logged]
    for writer in writers:
        if tags and hasattr(writer, "add_custom_scalars"):
            writer.add_custom_scalars({"retention": {"retention and chance": ["Multiline", tags]}})
