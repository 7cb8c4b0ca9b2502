"""torchdata nodes: ``MultiNodeWeightedSampler``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.mixers.contract import Batch, Job, Row, Workload, facts_in


class _Loader:
    def __init__(self, job: Job, node: Any) -> None:
        import torchdata.nodes as tn

        batches = tn.Batcher(node, job.batch)
        if job.workers:
            batches = tn.Prefetcher(
                tn.ParallelMapper(batches, _same, num_workers=job.workers, in_order=True, method="thread"), 2
            )
        self._loader = tn.Loader(batches)
        if job.state is not None:
            self._loader.load_state_dict(job.state)

    def __iter__(self) -> Iterator[Batch]:
        return (facts_in([row["id"] for row in batch]) for batch in self._loader)

    def state(self) -> Any:
        return self._loader.state_dict()


def _same(batch: list[Row]) -> list[Row]:
    return batch


class WeightedNodes:
    """Draws from two nodes by weights; each source is split among ranks by a sampler, as the sampler does not."""

    name = "torchdata nodes"
    distribution = "torchdata"
    modules = ("torchdata",)
    note = "MultiNodeWeightedSampler over SamplerWrapper(DistributedSampler), Batcher, Loader; workers are threads"

    def prepare(self, workload: Workload, folder: Path) -> None:
        """Write nothing."""

    def _mix(self, job: Job) -> Any:
        import torchdata.nodes as tn

        workload = job.workload
        sources = {
            "base": _source(list(workload.base_rows(2 * workload.rows)), job),
            "facts": _source(list(workload.fact_rows(3 * workload.copies)), job),
        }
        weights = {"base": 1 - workload.weight, "facts": workload.weight}
        stop = tn.StopCriteria.CYCLE_FOREVER
        return tn.MultiNodeWeightedSampler(sources, weights, stop, rank=job.rank, world_size=job.world, seed=job.seed)

    def loader(self, job: Job) -> _Loader:
        """Load with torchdata's loader."""
        return _Loader(job, self._mix(job))

    def mixed(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Iterate over the sampler."""
        import torchdata.nodes as tn

        return tn.Loader(self._mix(Job(workload, folder)))

    def plain(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Iterate over the base."""
        import torchdata.nodes as tn

        return tn.Loader(_source(list(workload.base_rows(2 * workload.rows)), Job(workload, folder)))


def _source(rows: list[Row], job: Job) -> Any:
    import torchdata.nodes as tn
    from torch.utils.data import DistributedSampler

    sampler = DistributedSampler(rows, job.world, job.rank, shuffle=False)
    return tn.Mapper(tn.SamplerWrapper(sampler), rows.__getitem__)
