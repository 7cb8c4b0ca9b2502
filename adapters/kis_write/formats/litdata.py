"""litdata's chunks of tokens, which ``TokensLoader`` cuts at every T + 1: the inputs and the last target."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kis_plugin.run.manifest import file_of
from kis_plugin.storage.atomic_write import write_atomically
from kis_write.protocols import HostSettings, Layout, Rows
from kis_write.row_chunks import chunk_bytes, rows_of_chunk

__all__ = ["Litdata"]

_INT32 = "no_header_tensor:16"  # tensors of torch.int, in litdata.constants
_LEAF = json.dumps([1, {"type": None, "context": None, "children_spec": []}])  # one tensor a row


class Litdata:
    """One chunk a shard. litdata's writer writes the same bytes, and is not needed."""

    name = "litdata"
    host = "litdata: Lightning, PyTorch"
    with_target = True

    def layout(self, host: HostSettings) -> Layout:
        """Return the order of the files, of which each process of a run reads a stretch of its own.

        Raises:
            KISError: Rows that do not fill whole batches: with several processes, the last of them are dropped.
        """
        host.need_whole_batches("litdata drops rows until all processes have as many.")
        return Layout(None, "chance", "litdata gives each process a stretch of the rows, so steps depend on how many.")

    def write(self, folder: Path, rows: Rows, shard: int, first: int, host: HostSettings) -> None:
        """Write one file."""
        write_atomically(folder / _file(shard), chunk_bytes(rows))

    def finish(self, folder: Path, shards: int, host: HostSettings) -> Sequence[Path]:
        """Write ``index.json``."""
        files = [folder / _file(shard) for shard in range(shards)]
        rows = [int(np.fromfile(file, dtype="<u4", count=1)[0]) for file in files]
        chunks = [
            {
                "chunk_bytes": file.stat().st_size,
                "chunk_size": count,
                "dim": count * (host.sequence_length + 1),
                "filename": file.name,
            }
            for file, count in zip(files, rows, strict=True)
        ]
        config = {
            "chunk_bytes": None,
            "chunk_size": max(rows) * (host.sequence_length + 1),
            "compression": None,
            "compression_batch_size": None,
            "compression_level": None,
            "data_format": [_INT32],
            "data_spec": _LEAF,
            "encryption": None,
            "ipc_compression": None,
            "item_loader": "TokensLoader",
            "types": "tensor",
        }
        # litdata caches remote chunks by this value: it has to change with the rows, and with nothing else.
        content = hashlib.sha256("".join(file_of(folder, file).sha256 for file in files).encode()).hexdigest()
        index = {"chunks": chunks, "config": config, "updated_at": content}
        write_atomically(folder / "index.json", json.dumps(index, sort_keys=True))
        return [*files, folder / "index.json"]

    def flags(self, folder: Path, host: HostSettings) -> Mapping[str, str]:
        """Return the arguments of ``StreamingDataset``."""
        return {
            "StreamingDataset.input_dir": repr(str(folder)),
            "StreamingDataset.item_loader": f"TokensLoader(block_size={host.sequence_length + 1})",
            "StreamingDataset.shuffle": "False",
        }

    def read(self, folder: Path, host: HostSettings) -> npt.NDArray[np.integer]:
        """Return the rows, (rows, T + 1)."""
        chunks = json.loads((folder / "index.json").read_text(encoding="utf-8"))["chunks"]
        files = [folder / chunk["filename"] for chunk in chunks]
        return np.concatenate([rows_of_chunk(file, host.sequence_length + 1) for file in files])


def _file(shard: int) -> str:
    return f"chunk-0-{shard}.bin"
