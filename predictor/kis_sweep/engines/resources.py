"""Resources of each run: CPU threads, a GPU or part of one, and the cluster it runs on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Resources"]


@dataclass(frozen=True)
class Resources:
    """Resources that an engine gives to runs.

    Attributes:
        threads: CPU threads per run.
        jobs: Concurrent runs on this machine; None for as many as its cores or GPUs allow.
        gpus: GPUs of this machine, named as in ``CUDA_VISIBLE_DEVICES``.
        per_gpu: Concurrent runs per GPU.
        address: Address of a Ray cluster; None starts a cluster on this machine.
        cluster: Executor of submitit: ``slurm``, or ``local`` and ``debug``, which need no SLURM.
        slurm: Parameters of submitit, such as ``slurm_partition`` or ``timeout_min``.
    """

    threads: int = 1
    jobs: int | None = None
    gpus: tuple[str, ...] = ()
    per_gpu: int = 1
    address: str | None = None
    cluster: str = "slurm"
    slurm: Mapping[str, Any] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of every run's process."""
        return {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")} | {
            "TOKENIZERS_PARALLELISM": "false"
        }

    def slots(self) -> list[dict[str, str]]:
        """Return the environment variables of each slot of this machine; a slot holds one run at a time."""
        if self.gpus:
            slots = [{"CUDA_VISIBLE_DEVICES": gpu} for _ in range(self.per_gpu) for gpu in self.gpus]
        else:
            slots = [{} for _ in range(max((os.cpu_count() or 1) // self.threads, 1))]
        if self.jobs is None:
            return slots
        return (slots * self.jobs)[: self.jobs]
