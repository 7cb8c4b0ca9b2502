"""Runs as jobs of SLURM, submitted by submitit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.sweep_run import SweepRun
from kis_sweep.engines.places import Places
from kis_sweep.trial import attempt, note_lost

__all__ = ["on_slurm"]

_POLL = 1.0  # seconds


def on_slurm(runs: Sequence[SweepRun], places: Places) -> Iterator[tuple[SweepRun, int]]:
    """Submit each to SLURM by submitit; what they print lies in ``slurm`` of the sweep's folder."""
    try:
        submitit: Any = import_module("submitit")
    except ImportError as error:
        hint = "Install it with pip install 'kis-plugin[slurm]'."
        raise KISError(Problem("--engine slurm", "no package submitit", "submitit", hint)) from error
    try:
        executor = submitit.AutoExecutor(folder=runs[0].sweep / "slurm", cluster=places.cluster)
        executor.update_parameters(name="kis-sweep", cpus_per_task=places.threads, **places.slurm)
    except (RuntimeError, TypeError, ValueError, AssertionError, NameError) as error:
        raise KISError(Problem("--engine slurm", str(error), "a cluster and parameters that submitit takes")) from error
    waiting = {executor.submit(attempt, str(run.sweep), run.name, places.environment): run for run in runs}
    while waiting:
        done = [job for job in waiting if job.done()]
        for job in done:
            run = waiting.pop(job)
            lost = job.exception()
            yield run, job.result() if lost is None else note_lost(run, lost)
        if not done:
            time.sleep(_POLL)
