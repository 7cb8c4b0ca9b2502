"""Retention in the log of the program that trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kis_plugin.hook_markers import hookimpl
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.host_metrics import host_metrics
from kis_plugin.run.log import Record

__all__ = ["HostLog"]


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
