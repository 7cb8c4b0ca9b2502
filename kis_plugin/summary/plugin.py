"""Shows a run to its user while it trains: a row at each evaluation, and a summary at its end."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kis_plugin.errors import KISError
from kis_plugin.hook_markers import hookimpl
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.log import LOG_NAME, End, Guard, Loss, Record, Retention, Run, RunLog, read_course
from kis_plugin.summary.history import history_of
from kis_plugin.summary.texts import EvaluationTable, path_text, summary_lines

__all__ = ["QUIET", "RunDisplay"]

QUIET = "KIS_QUIET"
"""Environment variable that switches the table and the summary off; warnings stay."""


class RunDisplay:
    """One run's table and summary, on rank 0, from the same records as the run log's."""

    def __init__(self, run: TrainingRun) -> None:
        self._path = run.folder / LOG_NAME
        self._records: list[Record] = []
        self._table = EvaluationTable()
        self._quiet = os.environ.get(QUIET, "") not in ("", "0")
        self._began = time.monotonic()
        self._before = 0.0  # seconds of earlier starts

    @hookimpl
    def kis_run_start(self, run: TrainingRun, resumed: Mapping[str, Any] | None) -> None:
        """Continue the clock, and the table of the run log's first part."""
        self._before = float((resumed or {}).get("wall_seconds", 0.0))
        if resumed is not None and run.rank == 0 and self._path.exists():
            try:
                log = read_course(self._path)
            except KISError as error:  # the log is only shown here: training does not depend on it
                run.notify(f"kis: the summary will lack the evaluations before step {run.start_step:,}: {error}")
            else:
                self._records = [log.run, *log.retention, *log.loss, *log.guard]

    @hookimpl(trylast=True)
    def kis_metrics(self, run: TrainingRun, records: Sequence[Record]) -> None:
        """Show the row of an evaluation."""
        self._records += records
        steps = {record.step for record in records if isinstance(record, Retention)}
        log = self._log()
        if self._quiet or not steps or log is None:
            return
        history = history_of(log)
        for evaluation in history.evaluations:
            if evaluation.step in steps:
                for line in self._table.lines(history, evaluation):
                    run.notify(f"kis: {line}")

    @hookimpl
    def kis_state(self) -> Mapping[str, Any]:
        """Keep the clock."""
        return {"wall_seconds": self._seconds()}

    @hookimpl
    def kis_end_record(self) -> Mapping[str, Any]:
        """Give the wall time of all starts of the run, which the cost of evaluation is compared with."""
        return {"wall_seconds": self._seconds()}

    @hookimpl
    def kis_run_end(self, run: TrainingRun) -> None:
        """Show the summary."""
        log = self._log()
        if run.rank == 0 and log is not None and not self._quiet:
            lines = list(summary_lines(history_of(log), f"kis show {path_text(self._path)}"))
            run.notify("\n".join(["", f"kis: {lines[0]}", *lines[1:]]))

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    def _log(self) -> RunLog | None:
        """Return the records so far as a run log; None before the first, and where the log's beginning was lost."""
        by_kind: dict[type[Record], list[Any]] = {kind: [] for kind in (Run, Retention, Loss, Guard, End)}
        for record in self._records:
            by_kind[type(record)].append(record)
        if not by_kind[Run]:
            return None
        end = by_kind[End][-1] if by_kind[End] else None
        kinds = (tuple(by_kind[kind]) for kind in (Retention, Loss, Guard))
        retention, loss, guard = kinds
        return RunLog(self._path, by_kind[Run][0], retention, loss, end, guard=guard)
