"""How often each fact is really shown: every mixer in real processes, at several world sizes, workers and seeds."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.mixers import MIXERS, Workload

WORLDS = (1, 2, 4)
WORKLOADS = (
    Workload("one fact, F = 100", rows=5120, facts=1, frequency=100),
    Workload("100 facts, F = 10", rows=5120, facts=100, frequency=10),
)
_LIMIT_SECONDS = 600


@dataclass(frozen=True)
class Run:
    """What one run showed, all ranks together.

    Attributes:
        exposures: (n, 2) global row and fact of each exposure, by row.
        by_batch: (n, 2) global batch and fact, sorted.
    """

    workload: Workload
    world: int
    seed: int
    workers: int
    resumed: bool
    rows: int
    exposures: npt.NDArray[np.int64]
    by_batch: npt.NDArray[np.int64]

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Exposures of each fact."""
        return np.bincount(self.exposures[:, 1], minlength=self.workload.facts)

    @property
    def gap_variation(self) -> float:
        """Standard deviation over mean of the gaps between a fact's exposures, averaged over facts: 0 is periodic."""
        shown = [self.exposures[self.exposures[:, 1] == fact, 0] for fact in range(self.workload.facts)]
        gaps = [np.diff(rows) for rows in shown if len(rows) > 2]
        return float(np.mean([gap.std() / gap.mean() for gap in gaps])) if gaps else float("nan")


@dataclass
class Exactness:
    """All runs of one mixer, or why there are none."""

    runs: list[Run] = field(default_factory=list)
    failure: str = ""

    def of(self, workload: Workload) -> list[Run]:
        """Return the runs of one workload."""
        return [run for run in self.runs if run.workload == workload]

    def least_and_most(self, workload: Workload) -> tuple[int, int]:
        """Return the least and the greatest number of exposures of any fact in any run."""
        counts = np.concatenate([run.counts for run in self.of(workload)])
        return int(counts.min()), int(counts.max())

    def exact(self, workload: Workload) -> float:
        """Return the part of facts, over all runs, that were shown exactly as often as requested."""
        return float(np.mean([run.counts == workload.frequency for run in self.of(workload)]))

    def gap_variation(self, workload: Workload) -> float:
        """Return the variation of gaps in undisturbed runs of one process."""
        alone = [run for run in self.of(workload) if run.world == 1 and not run.resumed and not run.workers]
        return float(np.mean([run.gap_variation for run in alone]))

    def same_at_any(self, what: str) -> bool:
        """Return whether runs that differ in ``what`` alone have the same facts in every batch."""
        groups: dict[tuple[object, ...], list[Run]] = defaultdict(list)
        for run in self.runs:
            key = {"world": run.world, "workers": run.workers, "resumed": run.resumed}
            del key[what]
            if what == "resumed" or not run.resumed:
                groups[(run.workload.name, run.seed, *key.values())].append(run)
        return all(np.array_equal(run.by_batch, group[0].by_batch) for group in groups.values() for run in group)


def measure(
    name: str, seeds: int, workloads: Sequence[Workload] = WORKLOADS, worlds: Iterable[int] = WORLDS
) -> Exactness:
    """Run one mixer in all conditions; what it raises, or a run that hangs, is its result."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        found = Exactness()
        for world in worlds:
            if world == 1:  # writes what the others read
                _prepare(name, folder, workloads)
            lines = _ranks(name, folder, seeds, workloads, world)
            if isinstance(lines, str):
                return Exactness(failure=f"{world} ranks: {lines}")
            found.runs += _runs(lines, workloads, world)
        return found


def _prepare(name: str, folder: Path, workloads: Sequence[Workload]) -> None:
    for workload in workloads:
        MIXERS[name].prepare(workload, folder / workload.name)


def _ranks(
    name: str, folder: Path, seeds: int, workloads: Sequence[Workload], world: int
) -> list[dict[str, object]] | str:
    """Return the lines of all ranks, or the last line of an error."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outs = [folder / f"{world}-{rank}.jsonl" for rank in range(world)]
    texts = [json.dumps(asdict(workload)) for workload in workloads]
    processes = []
    for rank, out in enumerate(outs):
        command = [sys.executable, "-m", "benchmarks.mixers.rank", name, str(folder), str(out), str(seeds), *texts]
        environment = os.environ | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }  # fmt: skip
        with out.with_suffix(".err").open("wb") as errors:
            processes.append(subprocess.Popen(command, env=environment, stdout=errors, stderr=errors))
    try:
        for process in processes:
            process.wait(_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        return f"did not end within {_LIMIT_SECONDS} s"
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for process, out in zip(processes, outs, strict=True):
        if process.returncode:
            said = out.with_suffix(".err").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return said[-1] if said else f"exit code {process.returncode}"
    return [json.loads(line) for out in outs for line in out.read_text(encoding="utf-8").splitlines()]


def _runs(lines: list[dict[str, object]], workloads: Sequence[Workload], world: int) -> list[Run]:
    """Put the ranks of each run together."""
    grouped: dict[tuple[object, ...], list[dict]] = defaultdict(list)
    for line in lines:
        grouped[line["workload"], line["seed"], line["workers"], line["resumed"]].append(line)
    named = {workload.name: workload for workload in workloads}
    runs = []
    for (name, seed, workers, resumed), ranks in grouped.items():
        workload = named[name]
        shown = [
            (step, (step * world + line["rank"]) * (workload.batch // world) + place, fact)
            for line in ranks
            for step, place, fact in line["exposures"]
        ]
        table = np.array(sorted(shown, key=lambda one: one[1]), dtype=np.int64).reshape(-1, 3)
        by_batch = table[np.lexsort((table[:, 2], table[:, 0]))][:, [0, 2]]
        rows = sum(line["rows"] for line in ranks)
        runs.append(Run(workload, world, seed, workers, resumed, rows, table[:, 1:], by_batch))
    return runs
