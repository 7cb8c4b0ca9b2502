"""Follows the log of a run that is training, as its own process shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from kis_plugin.run.log import read_course
from kis_plugin.summary.history import History, history_of
from kis_plugin.summary.texts import EvaluationTable, summary_lines

__all__ = ["follow"]

_INTERVAL = 1.0  # seconds between looks at the file


def follow(path: Path, show: Callable[[str], None], wait: Callable[[float], None] = time.sleep) -> None:
    """Show the row of each evaluation as it comes, and the summary once the run has ended.

    Args:
        path: The run log.
        show: Prints a line.
        wait: Called with seconds between looks.

    Raises:
        KISError: The log is gone or damaged.
    """
    rows, shown, size = EvaluationTable(), -1, -1
    while True:
        # A line may be half written: it is read as torn, and whole the next time.
        if (now := path.stat().st_size if path.exists() else 0) != size:
            size = now
            history = history_of(read_course(path))
            for evaluation in history.evaluations:
                if evaluation.step > shown:
                    shown = evaluation.step
                    for line in rows.lines(history, evaluation):
                        show(line)
            if history.log.end:
                _end(history, show)
                return
        wait(_INTERVAL)


def _end(history: History, show: Callable[[str], None]) -> None:
    show("")
    for line in summary_lines(history):
        show(line)
