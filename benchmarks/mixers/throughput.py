"""Rows a second of a torch DataLoader over base data, plain and infused, in turn."""

from __future__ import annotations

import gc
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mixers.contract import Workload
from benchmarks.mixers.kis import Kis

BLOCK, BATCH, FACTS = 1024, 8, 20_000
SHARES = (0.05, 0.5)
WORKERS = (0, 2)


@dataclass(frozen=True)
class Throughput:
    """One comparison.

    Attributes:
        plain: Rows a second of the plain loader, the median.
        infused: Of the infused one.
        ratio: Median over pairs of infused rows a second over plain ones, by wall time.
        cpu_ratio: Median over pairs of plain CPU time over infused, of the main process and its workers.
    """

    data: str
    share: float
    workers: int
    plain: float
    infused: float
    ratio: float
    cpu_ratio: float


class InMemory:
    """Rows of a numpy array, in columns as ``run_clm.py`` makes them."""

    name = "numpy array"

    def __init__(self, rows: int) -> None:
        self.ids = np.random.default_rng(0).integers(0, 30_000, (rows, BLOCK))  # (rows, T)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.ids[index], "labels": self.ids[index]}


def hf_dataset(rows: int) -> Any:
    """Return the same as a ``datasets.Dataset`` in torch format."""
    import datasets

    ids = InMemory(rows).ids
    columns = {"input_ids": list(ids), "labels": list(ids)}
    return datasets.Dataset.from_dict(columns).with_format("torch")


def measure(rows: int, pairs: int) -> Iterator[Throughput]:
    """Yield a comparison for each kind of data, share and number of workers.

    Args:
        rows: Of the base, all of them read in each run.
        pairs: Runs of each loader, one after the other in turn.
    """
    with tempfile.TemporaryDirectory() as text:
        plans = {share: _plan(rows, share, Path(text)) for share in SHARES}
        for name, data in ((InMemory.name, InMemory(rows)), ("datasets, torch format", hf_dataset(rows))):
            for share, plan in plans.items():
                for workers in WORKERS:
                    yield _compare(name, data, share, plan, workers, pairs)


def _plan(rows: int, share: float, folder: Path) -> Any:
    workload = Workload("throughput", rows=rows, facts=FACTS, frequency=0, sequence_length=BLOCK)
    Kis().prepare(workload, folder / "facts")
    return Kis().plan(workload, folder / "facts", seed=0, amount={"share": share})


def _compare(name: str, data: Any, share: float, plan: Any, workers: int, pairs: int) -> Throughput:
    from torch.utils.data import DataLoader, RandomSampler

    from kis_plugin.infusion.row_index import InfusedDataset, NumberedSampler
    from kis_torch.row_infusion import RowInfusion

    loaders = []
    for infused in (False, True):
        sampler: Any = RandomSampler(data)
        dataset: Any = InfusedDataset(data, RowInfusion(plan, BLOCK)) if infused else data
        numbered: Any = NumberedSampler(sampler, len(data)) if infused else sampler
        loaders.append(DataLoader(dataset, BATCH, sampler=numbered, num_workers=workers))
    times: list[list[tuple[float, float]]] = [[], []]
    for pair in range(pairs + 1):
        for which in (0, 1) if pair % 2 else (1, 0):
            times[which].append(_read(loaders[which]))
    plain, infused_times = times[0][1:], times[1][1:]  # the first of each warms up
    both = list(zip(plain, infused_times, strict=True))
    return Throughput(
        data=name, share=share, workers=workers,
        plain=statistics.median(len(data) / wall for wall, _ in plain),
        infused=statistics.median(len(data) / wall for wall, _ in infused_times),
        ratio=statistics.median(one[0] / other[0] for one, other in both),
        cpu_ratio=statistics.median(one[1] / other[1] for one, other in both),
    )  # fmt: skip


def _read(loader: Any) -> tuple[float, float]:
    """Read all batches; return wall and CPU seconds, those of ended workers included."""
    gc.collect()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    for _ in loader:
        pass
    return time.perf_counter() - wall, _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + workers.ru_utime + workers.ru_stime
