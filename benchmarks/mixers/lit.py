"""litdata: ``CombinedStreamingDataset``, by weights and by copies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.mixers.contract import Batch, Job, Row, Workload, facts_in

_FILES = 64  # a source, so that each of 8 consumers gets some


def _write(rows: list[Row], folder: Path) -> None:
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(folder), chunk_size=max(len(rows) // _FILES, 1))
    for at, row in enumerate(rows):
        writer[at] = row
    writer.done()
    writer.merge(1)


def _open(folder: Path) -> Any:
    from litdata import StreamingDataset

    return StreamingDataset(str(folder))


class _Loader:
    def __init__(self, job: Job, dataset: Any) -> None:
        from litdata import StreamingDataLoader

        self._loader = StreamingDataLoader(dataset, batch_size=job.batch, num_workers=job.workers)
        if job.state is not None:
            self._loader.load_state_dict(job.state)

    def __iter__(self) -> Iterator[Batch]:
        return (facts_in(batch["id"]) for batch in self._loader)

    def state(self) -> Any:
        return self._loader.state_dict()


class LitdataWeights:
    """Draws from base and facts by weights."""

    name = "litdata, weights"
    distribution = "litdata"
    modules = ("litdata",)
    note = "CombinedStreamingDataset(weights=..., iterate_over_all=False) in a StreamingDataLoader"
    copies = 3  # of each exposure: a source that ends would end the run

    def prepare(self, workload: Workload, folder: Path) -> None:
        """Write two litdata folders."""
        if not folder.exists():
            _write(list(workload.base_rows(self._base(workload))), folder / "base")
            _write(list(workload.fact_rows(self.copies * workload.copies)), folder / "facts")

    def _base(self, workload: Workload) -> int:
        return 2 * workload.rows

    def combined(self, job: Job) -> Any:
        """Return the dataset."""
        from litdata import CombinedStreamingDataset

        weights = [1 - job.workload.weight, job.workload.weight]
        sources = [_open(job.folder / "base"), _open(job.folder / "facts")]
        return CombinedStreamingDataset(sources, seed=job.seed, weights=weights, iterate_over_all=False)

    def loader(self, job: Job) -> _Loader:
        """Load with litdata's own loader."""
        return _Loader(job, self.combined(job))

    def mixed(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Iterate over the dataset."""
        return self.combined(Job(workload, folder))

    def plain(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Iterate over the base."""
        return _open(folder / "base")


class LitdataCopies(LitdataWeights):
    """Stores every fact as often as it is to be shown, and reads everything once."""

    name = "litdata, copies"
    note = "CombinedStreamingDataset(iterate_over_all=True), each fact written F times: its weights come from lengths"
    copies = 1

    def _base(self, workload: Workload) -> int:
        return workload.rows - workload.nominal

    def combined(self, job: Job) -> Any:
        """Return the dataset."""
        from litdata import CombinedStreamingDataset

        sources = [_open(job.folder / "base"), _open(job.folder / "facts")]
        return CombinedStreamingDataset(sources, seed=job.seed, iterate_over_all=True)
