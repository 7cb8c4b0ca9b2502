"""Writes every record of a run to its ``kis.jsonl``."""

from __future__ import annotations

from collections.abc import Sequence

from kis_plugin.hook_markers import hookimpl
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.log import Record, RunLogWriter

__all__ = ["LogFile"]


class LogFile:
    """One run's log. Nothing is written before the first record."""

    def __init__(self, run: TrainingRun) -> None:
        self._writer: RunLogWriter | None = None

    @hookimpl
    def kis_metrics(self, run: TrainingRun, records: Sequence[Record]) -> None:
        """Append and flush."""
        self._writer = self._writer or RunLogWriter(run.folder)
        for record in records:
            self._writer.write(record)

    @hookimpl(trylast=True)
    def kis_run_end(self) -> None:
        """Close the file."""
        if self._writer:
            self._writer.close()
