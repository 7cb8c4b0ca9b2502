"""Engines that execute runs: this machine, a Ray cluster, or SLURM. Each yields a run's exit code when the run ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from kis_sweep.engines.local import on_this_machine
from kis_sweep.engines.on_ray import on_ray
from kis_sweep.engines.on_slurm import on_slurm
from kis_sweep.engines.resources import Resources
from kis_sweep.run_spec import SweepRun

__all__ = ["ENGINES", "Engine", "Resources"]

Engine = Callable[[Sequence[SweepRun], Resources], Iterator[tuple[SweepRun, int]]]

ENGINES: Mapping[str, Engine] = {"local": on_this_machine, "ray": on_ray, "slurm": on_slurm}
