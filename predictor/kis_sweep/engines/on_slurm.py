"""Runs as jobs of SLURM, submitted by submitit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_sweep.engines.places import Places
from kis_sweep.run_process import attempt, note_lost
from kis_sweep.run_spec import SweepRun

__all__ = ["on_slurm"]

_POLL = 1.0  # seconds
_AT_BEGIN = ("slurm_max_num_timeout", "slurm_python")
"""Parameters that submitit takes when it begins, not for each job."""


def on_slurm(runs: Sequence[SweepRun], places: Places) -> Iterator[tuple[SweepRun, int]]:
    """Submit each to SLURM by submitit; what they print lies in ``slurm`` of the sweep's folder."""
    try:
        submitit: Any = import_module("submitit")
    except ImportError as error:
        hint = "Install it with pip install 'kis-plugin[slurm]'."
        raise KISError(Problem("--engine slurm", "no package submitit", "submitit", hint)) from error
    begin = {name: value for name, value in places.slurm.items() if name in _AT_BEGIN}
    each = {name: value for name, value in places.slurm.items() if name not in _AT_BEGIN}
    try:
        executor = submitit.AutoExecutor(folder=runs[0].sweep / "slurm", cluster=places.cluster, **begin)
        executor.update_parameters(name="kis-sweep", cpus_per_task=places.threads, **each)
    except (RuntimeError, TypeError, ValueError, AssertionError, NameError) as error:
        raise KISError(Problem("--engine slurm", str(error), "a cluster and parameters that submitit takes")) from error
    waiting: dict[Any, SweepRun] = {}
    try:
        for run in runs:
            waiting[_submitted(submitit, executor, run, places)] = run
        while waiting:
            done = [job for job in waiting if job.done()]
            for job in done:
                run = waiting.pop(job)
                lost = job.exception()
                yield run, job.result()[0] if lost is None else note_lost(run, lost)
            if not done:
                time.sleep(_POLL)
    finally:
        for job in waiting:  # the sweep was interrupted, and so are its runs
            job.cancel(check=False)


def _submitted(submitit: Any, executor: Any, run: SweepRun, places: Places) -> Any:
    """Submit a run as a call that submitit queues again when its time is up; the run then goes on where it was.

    Raises:
        KISError: SLURM refuses it.
    """
    call = submitit.helpers.FunctionSequence()  # a bare function would be queued again after a preemption only
    call.add(attempt, str(run.sweep), run.name, places.environment)
    try:
        return executor.submit(call)
    except RuntimeError as error:
        raise KISError(Problem("--engine slurm", str(error).strip(), f"that SLURM takes {run.name}")) from error
