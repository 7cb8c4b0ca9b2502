"""datatrove's ``.ds`` files, as nanotron reads them: rows of T + 1 tokens, end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.npy_files import read_raw
from kis_write.protocols import HostSettings, Layout, Rows
from kis_write.raw_file import raw_type, write_stretch

__all__ = ["Datatrove"]

_FILE = "kis.ds"


class Datatrove:
    """One ``.ds`` file, whose reader cuts T + 1 tokens a row and keeps their order."""

    name = "datatrove"
    host = "nanotron"
    with_target = True

    def layout(self, host: HostSettings) -> Layout:
        """Return the order of the file: a data set of one file is read from its start to its end."""
        return Layout(None, "exact")

    def write(self, folder: Path, rows: Rows, shard: int, first: int, host: HostSettings) -> None:
        """Write rows at their place."""
        write_stretch(
            folder / _FILE, rows.astype(raw_type(host.vocabulary)).ravel(), first * (host.sequence_length + 1)
        )

    def finish(self, folder: Path, shards: int, host: HostSettings) -> Sequence[Path]:
        """Write the ends of documents, one a row, for readers that make positions from them."""
        ends = np.arange(1, host.rows + 1, dtype=np.uint64) * np.uint64(host.sequence_length + 1)
        write_atomically(folder / f"{_FILE}.index", ends.tobytes())
        return [folder / _FILE, folder / f"{_FILE}.index"]

    def flags(self, folder: Path, host: HostSettings) -> Mapping[str, str]:
        """Return the keys of nanotron's configuration."""
        return {
            "data_stages[].data.dataset.dataset_folder": str(folder),
            "data_stages[].data.dataset.token_size_in_bytes": str(np.dtype(raw_type(host.vocabulary)).itemsize),
            "tokens.sequence_length": str(host.sequence_length),
        }

    def read(self, folder: Path, host: HostSettings) -> npt.NDArray[np.integer]:
        """Return the rows, (rows, T + 1)."""
        return read_raw(folder / _FILE, raw_type(host.vocabulary), host.sequence_length + 1)
