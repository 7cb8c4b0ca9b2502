"""MDS shards, as mosaicml-streaming reads them for Composer and LLM Foundry: a column ``tokens`` of T int32 a row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kis_plugin.storage.atomic_write import write_atomically
from kis_write.protocols import HostSettings, Layout, Rows
from kis_write.row_chunks import chunk_bytes, rows_of_chunk

__all__ = ["MDS"]

_COLUMN = {"column_encodings": ["ndarray:int32"], "column_names": ["tokens"], "column_sizes": [None]}
_CONFIG = {"compression": None, "format": "mds", "hashes": [], "size_limit": None, "version": 2} | _COLUMN


class MDS:
    """One file a shard. ``streaming.MDSWriter`` writes the same bytes, and is not needed."""

    name = "mds"
    host = "mosaicml-streaming: Composer, LLM Foundry"
    with_target = False

    def layout(self, host: HostSettings) -> Layout:
        """Return the order of the files, which ``StreamingDataset`` keeps unless it shuffles.

        Raises:
            KISError: Rows that do not fill whole batches: some would be repeated, so that all processes have as many.
        """
        host.need_whole_batches("StreamingDataset repeats rows until all processes have as many.")
        return Layout(None, "exact")

    def write(self, folder: Path, rows: Rows, shard: int, first: int, host: HostSettings) -> None:
        """Write one file."""
        about = json.dumps(_CONFIG, sort_keys=True).encode()
        write_atomically(folder / _file(shard), chunk_bytes(rows, _before(rows.shape[1]), about))

    def finish(self, folder: Path, shards: int, host: HostSettings) -> Sequence[Path]:
        """Write ``index.json``."""
        files = [folder / _file(shard) for shard in range(shards)]
        listed = [
            {
                "raw_data": {"basename": file.name, "bytes": file.stat().st_size, "hashes": {}},
                "samples": int(np.fromfile(file, dtype="<u4", count=1)[0]),
                "zip_data": None,
            }
            | _CONFIG
            for file in files
        ]
        write_atomically(folder / "index.json", json.dumps({"shards": listed, "version": 2}, sort_keys=True))
        return [folder / "index.json", *files]

    def flags(self, folder: Path, host: HostSettings) -> Mapping[str, str]:
        """Return the arguments of ``StreamingDataset``, and the length of the run."""
        return {
            "StreamingDataset.local": repr(str(folder)),
            "StreamingDataset.shuffle": "False",
            "StreamingDataset.num_canonical_nodes": "1",
            "StreamingDataset.batch_size": f"{host.batch} / the number of processes",
            "Trainer.max_duration": "'1ep'",
        }

    def read(self, folder: Path, host: HostSettings) -> npt.NDArray[np.integer]:
        """Return the rows, (rows, T)."""
        shards = json.loads((folder / "index.json").read_text(encoding="utf-8"))["shards"]
        files = [folder / shard["raw_data"]["basename"] for shard in shards]
        return np.concatenate([rows_of_chunk(file, host.sequence_length) for file in files])


def _file(shard: int) -> str:
    return f"shard.{shard:05}.mds"


def _before(tokens: int) -> bytes:
    """Return what stands before the ids of a row: the size of the column, and the shape of an array (tokens,)."""
    code, kind = next((code, kind) for code, kind in enumerate(("<u1", "<u2", "<u4")) if tokens <= np.iinfo(kind).max)
    shape = bytes([1 << 2 | code]) + np.array([tokens], dtype=kind).tobytes()
    return np.array([len(shape) + 4 * tokens], dtype="<u4").tobytes() + shape
