"""Hugging Face datasets: ``interleave_datasets`` of both kinds, and the plain way: concatenate copies and shuffle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.mixers.contract import Batch, Job, Row, Workload, facts_in

_SHARDS = 8  # ranks times workers: an iterable with fewer leaves workers idle


def _dataset(rows: Iterable[Row]) -> Any:
    import datasets

    rows = list(rows)
    return datasets.Dataset.from_dict(
        {"id": [row["id"] for row in rows], "input_ids": [row["input_ids"] for row in rows]}
    )


class _MapLoader:
    """torch's loader and sampler; on a resume, batches that are done are skipped in the sampler, as Trainer does."""

    def __init__(self, job: Job, dataset: Any) -> None:
        from torch.utils.data import BatchSampler, DataLoader, DistributedSampler

        sampler = DistributedSampler(dataset, job.world, job.rank, shuffle=False)
        batches = list(BatchSampler(sampler, job.batch, drop_last=True))
        self._done = job.state or 0
        self._loader = DataLoader(dataset, batch_sampler=batches[self._done :], num_workers=job.workers)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._loader:
            self._done += 1
            yield facts_in(batch["id"])

    def state(self) -> int:
        return self._done


class InterleaveMap:
    """Interleaves map-style datasets by probabilities."""

    name = "HF interleave, map-style"
    distribution = "datasets"
    modules = ("datasets",)
    note = "interleave_datasets(probabilities, seed) of Datasets; torch DataLoader and DistributedSampler"

    def prepare(self, workload: Workload, folder: Path) -> None:
        """Write nothing."""

    def _mix(self, workload: Workload, seed: int) -> Any:
        from datasets import interleave_datasets

        sources = [
            _dataset(workload.base_rows(2 * workload.rows)),
            _dataset(workload.fact_rows(3 * workload.copies)),
        ]
        return interleave_datasets(sources, probabilities=[1 - workload.weight, workload.weight], seed=seed)

    def loader(self, job: Job) -> _MapLoader:
        """Load with torch's loader."""
        return _MapLoader(job, self._mix(job.workload, job.seed).with_format("numpy"))

    def mixed(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Read row after row."""
        return _each(self._mix(workload, 0).with_format("numpy"))

    def plain(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Read row after row of the base."""
        return _each(_dataset(workload.base_rows(2 * workload.rows)).with_format("numpy"))


class Concatenated(InterleaveMap):
    """Puts F copies of every fact behind the base and shuffles all: exact by its length."""

    name = "HF concatenate + shuffle"
    note = "concatenate_datasets([base] + [facts] * F).shuffle(seed); torch DataLoader and DistributedSampler"

    def _mix(self, workload: Workload, seed: int) -> Any:
        from datasets import concatenate_datasets

        base = _dataset(workload.base_rows(workload.rows - workload.nominal))
        return concatenate_datasets([base, *[_dataset(workload.fact_rows(1))] * workload.copies]).shuffle(seed=seed)


class _IterableLoader:
    """torchdata's StatefulDataLoader, which datasets' documentation names for resuming."""

    def __init__(self, job: Job, dataset: Any) -> None:
        from torchdata.stateful_dataloader import StatefulDataLoader

        self._loader = StatefulDataLoader(dataset, batch_size=job.batch, num_workers=job.workers)
        if job.state is not None:
            self._loader.load_state_dict(job.state)

    def __iter__(self) -> Iterator[Batch]:
        return (facts_in(batch["id"]) for batch in self._loader)

    def state(self) -> Any:
        return self._loader.state_dict()


class InterleaveIterable(InterleaveMap):
    """Interleaves iterable datasets by probabilities."""

    name = "HF interleave, iterable"
    modules = ("datasets", "torchdata")
    note = "interleave_datasets of to_iterable_dataset(num_shards=8), split_dataset_by_node, StatefulDataLoader"

    def _mix(self, workload: Workload, seed: int) -> Any:
        from datasets import interleave_datasets

        sources = [
            _dataset(rows).to_iterable_dataset(num_shards=_SHARDS)
            for rows in (workload.base_rows(2 * workload.rows), workload.fact_rows(3 * workload.copies))
        ]
        return interleave_datasets(sources, probabilities=[1 - workload.weight, workload.weight], seed=seed)

    def loader(self, job: Job) -> Any:
        """Part the rows among ranks and load with torchdata's loader."""
        from datasets.distributed import split_dataset_by_node

        return _IterableLoader(job, split_dataset_by_node(self._mix(job.workload, job.seed), job.rank, job.world))

    def mixed(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Iterate over the dataset."""
        return self._mix(workload, 0)

    def plain(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Iterate over the base."""
        return _dataset(workload.base_rows(2 * workload.rows)).to_iterable_dataset(num_shards=_SHARDS)


def _each(dataset: Any) -> Iterator[Any]:
    return (dataset[at] for at in range(len(dataset)))
