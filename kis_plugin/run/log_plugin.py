"""Every record of a run into its ``kis.jsonl``, and its exposures beside it at each checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kis_plugin.hashing import IntArray
from kis_plugin.hook_markers import hookimpl
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.log import Record, RunLogWriter
from kis_plugin.storage.atomic_write import write_atomically

__all__ = ["LogFile", "saved_exposures"]


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

    @hookimpl
    def kis_save(self, run: TrainingRun, step: int, exposures: IntArray) -> None:
        """Write the exposures up to ``step`` beside the log, for a resume from that step."""
        path = run.folder / f"exposures-{step}.npz"
        write_atomically(path, lambda file: np.savez_compressed(file, exposures=exposures))

    @hookimpl(trylast=True)
    def kis_run_end(self) -> None:
        """Close the file."""
        if self._writer:
            self._writer.close()


def saved_exposures(run: TrainingRun) -> IntArray | None:
    """Return the exposures, (items,), up to the step that the run resumes from, or None if they are gone."""
    path = run.folder / f"exposures-{run.start_step}.npz"
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as saved:
        exposures: IntArray = saved["exposures"]
    return exposures
