"""MosaicML Streaming: a ``Stream`` of facts with ``choose``."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.mixers.contract import Batch, Job, Row, Workload, facts_in


def _library() -> Any:
    """Import it. Its vision half, unused here, imports torchvision at once: where that is missing, a stand-in."""
    if "torchvision" not in sys.modules and importlib.util.find_spec("torchvision") is None:
        import transformers.feature_extraction_utils  # looks for torchvision by itself, before the stand-in
        import transformers.tokenization_utils_base  # noqa: F401

        for name in ("", ".datasets", ".transforms", ".transforms.functional"):
            module: Any = types.ModuleType(f"torchvision{name}")
            module.VisionDataset, module.to_tensor = object, None
            sys.modules.setdefault(f"torchvision{name}", module)
    import streaming

    return streaming


def _write(rows: Iterable[Row], folder: Path) -> None:
    with _library().MDSWriter(out=str(folder), columns={"id": "int", "input_ids": "ndarray:int32"}) as writer:
        for row in rows:
            writer.write(row)


class _Loader:
    def __init__(self, job: Job, dataset: Any) -> None:
        self._loader = _library().StreamingDataLoader(dataset, batch_size=job.batch, num_workers=job.workers)
        if job.state is not None:
            self._loader.load_state_dict(job.state)

    def __iter__(self) -> Iterator[Batch]:
        return (facts_in(batch["id"]) for batch in self._loader)

    def state(self) -> Any:
        return self._loader.state_dict()


class StreamingChoose:
    """Chooses an exact number from each stream for an epoch, then shuffles."""

    name = "Streaming, choose"
    distribution = "mosaicml-streaming"
    modules = ("streaming", "transformers")
    note = (
        "StreamingDataset(streams=[Stream(choose=rows - n), Stream(choose=n)], shuffle=True), its StreamingDataLoader"
    )

    def prepare(self, workload: Workload, folder: Path) -> None:
        """Write two MDS folders."""
        if not folder.exists():
            _write(workload.base_rows(workload.rows), folder / "base")
            _write(workload.fact_rows(1), folder / "facts")

    def _mix(self, job: Job) -> Any:
        streaming = _library()
        workload = job.workload
        streams = [
            streaming.Stream(local=str(job.folder / "base"), choose=workload.rows - workload.nominal),
            streaming.Stream(local=str(job.folder / "facts"), choose=workload.nominal),
        ]
        return streaming.StreamingDataset(streams=streams, batch_size=job.batch, shuffle=True, shuffle_seed=job.seed)

    def loader(self, job: Job) -> _Loader:
        """Load with its own loader."""
        return _Loader(job, self._mix(job))

    def mixed(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Iterate over the dataset."""
        return self._mix(Job(workload, folder))

    def plain(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Iterate over the base, shuffled too."""
        return _library().StreamingDataset(local=str(folder / "base"), batch_size=workload.batch, shuffle=True)
