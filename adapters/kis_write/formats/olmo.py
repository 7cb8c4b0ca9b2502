"""OLMo-core's token files: chunks of T tokens without a header, in an order shuffled by seed and epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kis_plugin.storage.npy_files import read_raw
from kis_write.protocols import HostSettings, Layout, Rows
from kis_write.raw_file import raw_type, write_stretch

__all__ = ["OLMo"]

_FILE = "kis.npy"  # its name by OLMo-core's custom; numpy.load does not read it
_FIRST_EPOCH = 1


class OLMo:
    """A file of N T tokens for ``NumpyFSLDataset``, which cuts it at every T."""

    name = "olmo"
    host = "OLMo-core"
    with_target = False

    def layout(self, host: HostSettings) -> Layout:
        """Return the places at which ``NumpyFSLDataLoader`` finds the rows in the order of the plan.

        Raises:
            KISError: Rows that do not fill whole batches: the loader drops the last, partial one.
        """
        hint = "OLMo-core drops a partial last batch. A batch has global_batch_size / sequence_length rows."
        host.need_whole_batches(hint)
        if host.seed is None:
            return Layout(None, "chance", "OLMo-core shuffles by its seed, which --host-seed has to name.")
        # olmo_core.data.data_loader: get_rng(seed + epoch).shuffle(arange(N))
        order = np.arange(host.rows, dtype=np.uint32)
        np.random.Generator(np.random.PCG64(seed=host.seed + _FIRST_EPOCH)).shuffle(order)
        rows_of = np.empty(host.rows, dtype=np.int64)
        rows_of[order] = np.arange(host.rows)
        return Layout(rows_of, "exact")

    def write(self, folder: Path, rows: Rows, shard: int, first: int, host: HostSettings) -> None:
        """Write rows at their place."""
        write_stretch(folder / _FILE, rows.astype(raw_type(host.vocabulary)).ravel(), first * host.sequence_length)

    def finish(self, folder: Path, shards: int, host: HostSettings) -> Sequence[Path]:
        """Return the file."""
        return [folder / _FILE]

    def flags(self, folder: Path, host: HostSettings) -> Mapping[str, str]:
        """Return the arguments of the data set and the data loader."""
        assert host.batch is not None
        return {
            "NumpyFSLDatasetConfig.paths": f"[{str(folder / _FILE)!r}]",
            "NumpyFSLDatasetConfig.sequence_length": str(host.sequence_length),
            "NumpyFSLDatasetConfig.dtype": f"NumpyDatasetDType.{raw_type(host.vocabulary).__name__}",
            "NumpyDataLoaderConfig.global_batch_size": str(host.batch * host.sequence_length),
            **({} if host.seed is None else {"NumpyDataLoaderConfig.seed": str(host.seed)}),
            "Trainer max_duration": "Duration.epochs(1)",
        }

    def read(self, folder: Path, host: HostSettings) -> npt.NDArray[np.integer]:
        """Return the rows, (rows, T)."""
        return read_raw(folder / _FILE, raw_type(host.vocabulary), host.sequence_length)
