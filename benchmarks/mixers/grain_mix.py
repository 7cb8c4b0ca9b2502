"""Grain: ``MapDataset.mix``, exact by a closed form and without jitter, as Megatron's blending is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.mixers.contract import Batch, Job, Workload, facts_in


class _Loader:
    def __init__(self, job: Job, dataset: Any) -> None:
        self._iterator = iter(dataset[job.rank :: job.world].to_iter_dataset().batch(job.batch))
        if job.state is not None:
            self._iterator.set_state(job.state)

    def __iter__(self) -> Iterator[Batch]:
        return (facts_in(batch["id"]) for batch in self._iterator)

    def state(self) -> Any:
        return self._iterator.get_state()


class GrainMix:
    """Mixes two map-style datasets by weights."""

    name = "Grain, mix"
    distribution = "grain"
    modules = ("grain",)
    note = "MapDataset.mix([base, facts.repeat()], weights)[rank::world].to_iter_dataset(); reads in threads"

    def prepare(self, workload: Workload, folder: Path) -> None:
        """Write nothing."""

    def _mix(self, workload: Workload) -> Any:
        import grain

        base = grain.MapDataset.source(list(workload.base_rows(workload.rows)))
        facts = grain.MapDataset.source(list(workload.fact_rows(1))).repeat()
        return grain.MapDataset.mix([base.repeat(), facts], weights=[1 - workload.weight, workload.weight])

    def loader(self, job: Job) -> _Loader:
        """Slice for the rank."""
        return _Loader(job, self._mix(job.workload))

    def mixed(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Read row after row."""
        return _each(self._mix(workload), workload.rows)

    def plain(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Read row after row of the base."""
        import grain

        return _each(grain.MapDataset.source(list(workload.base_rows(workload.rows))), workload.rows)


def _each(dataset: Any, rows: int) -> Iterator[Any]:
    return (dataset[at] for at in range(rows))
