"""Executes runs as SLURM jobs, submitted through submitit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_sweep.engines.resources import Resources
from kis_sweep.run_process import attempt, record_lost
from kis_sweep.run_spec import SweepRun

__all__ = ["on_slurm"]

_POLL = 1.0  # seconds
_EXECUTOR_OPTIONS = ("slurm_max_num_timeout", "slurm_python")
"""Parameters of submitit's executor; all others are parameters of each job."""


def on_slurm(runs: Sequence[SweepRun], resources: Resources) -> Iterator[tuple[SweepRun, int]]:
    """Submit each run to SLURM through submitit; its output is written to ``slurm`` in the sweep's folder.

    Raises:
        KISError: submitit is not installed, or it refuses the cluster or a parameter.
    """
    try:
        submitit: Any = import_module("submitit")
    except ImportError as error:
        hint = "Install it with pip install 'kis-plugin[slurm]'."
        raise KISError(Problem("--engine slurm", "no package submitit", "submitit", hint)) from error
    executor_options = {name: value for name, value in resources.slurm.items() if name in _EXECUTOR_OPTIONS}
    job_options = {name: value for name, value in resources.slurm.items() if name not in _EXECUTOR_OPTIONS}
    try:
        executor = submitit.AutoExecutor(folder=runs[0].sweep / "slurm", cluster=resources.cluster, **executor_options)
        executor.update_parameters(name="kis-sweep", cpus_per_task=resources.threads, **job_options)
    except (RuntimeError, TypeError, ValueError, AssertionError, NameError) as error:
        raise KISError(
            Problem("--engine slurm", str(error), "a cluster and parameters that submitit accepts")
        ) from error
    waiting: dict[Any, SweepRun] = {}
    try:
        for run in runs:
            waiting[_submit(submitit, executor, run, resources)] = run
        while waiting:
            done = [job for job in waiting if job.done()]
            for job in done:
                run = waiting.pop(job)
                failure = job.exception()
                yield run, job.result()[0] if failure is None else record_lost(run, failure)
            if not done:
                time.sleep(_POLL)
    finally:
        for job in waiting:  # the sweep was interrupted: its jobs end with it
            job.cancel(check=False)


def _submit(submitit: Any, executor: Any, run: SweepRun, resources: Resources) -> Any:
    """Submit a run so that submitit requeues it when its time limit is reached; the run then continues.

    A ``FunctionSequence`` is submitted since submitit requeues a plain function after a preemption only.

    Raises:
        KISError: SLURM refuses the job.
    """
    call = submitit.helpers.FunctionSequence()
    call.add(attempt, str(run.sweep), run.name, resources.environment)
    try:
        return executor.submit(call)
    except RuntimeError as error:
        raise KISError(
            Problem("--engine slurm", str(error).strip(), f"a job that SLURM accepts for {run.name}")
        ) from error
