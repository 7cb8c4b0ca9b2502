"""Executes runs on a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_sweep.engines.resources import Resources
from kis_sweep.run_process import attempt, record_lost
from kis_sweep.run_spec import SweepRun

__all__ = ["on_ray"]


def on_ray(runs: Sequence[SweepRun], resources: Resources) -> Iterator[tuple[SweepRun, int]]:
    """Execute runs on a Ray cluster, whose nodes must see the sweep's folder under the same path.

    Raises:
        KISError: Ray is not installed.
    """
    try:
        cluster: Any = import_module("ray")
    except ImportError as error:
        hint = "Install it with pip install 'kis-plugin[ray]'."
        raise KISError(Problem("--engine ray", "no package ray", "Ray", hint)) from error
    started_here = not cluster.is_initialized()
    if started_here:
        cluster.init(address=resources.address, log_to_driver=False, include_dashboard=False)
    gpus = 1 / resources.per_gpu if cluster.cluster_resources().get("GPU") else 0
    remote: Any = cluster.remote(num_cpus=resources.threads, num_gpus=gpus, max_retries=0)(attempt)
    try:
        waiting = {remote.remote(str(run.sweep), run.name, resources.environment): run for run in runs}
        while waiting:
            done, _ = cluster.wait([*waiting], num_returns=1, timeout=None)
            for reference in done:
                run = waiting.pop(reference)
                try:
                    code = cluster.get(reference)
                except cluster.exceptions.RayError as error:
                    code = record_lost(run, error)
                yield run, code
    finally:
        if started_here:
            cluster.shutdown()
