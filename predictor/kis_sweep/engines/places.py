"""What an engine gives each run: threads, a GPU or a part of one, and where its cluster is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Places"]


@dataclass(frozen=True)
class Places:
    """What runs are given.

    Attributes:
        threads: CPU threads of a run.
        jobs: Runs at a time on this machine; None: as many as cores or GPUs take.
        gpus: GPUs of this machine, as ``CUDA_VISIBLE_DEVICES`` names them.
        per_gpu: Runs that share a GPU.
        address: Of a Ray cluster; None begins one on this machine.
        cluster: What submitit runs on: ``slurm``, or its stand-ins ``local`` and ``debug``.
        slurm: Parameters of submitit, as ``slurm_partition`` or ``timeout_min``.
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
        """Variables of every run's process."""
        return {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")} | {
            "TOKENIZERS_PARALLELISM": "false"
        }

    def slots(self) -> list[dict[str, str]]:
        """Return the variables of each place of this machine that takes a run at a time."""
        if self.gpus:
            places = [{"CUDA_VISIBLE_DEVICES": gpu} for _ in range(self.per_gpu) for gpu in self.gpus]
        else:
            places = [{} for _ in range(max((os.cpu_count() or 1) // self.threads, 1))]
        if self.jobs is None:
            return places
        return (places * self.jobs)[: self.jobs]
