"""Parquet with a column ``input_ids``: what ``datasets`` reads, and so axolotl, LLaMA-Factory and every Trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.atomic_write import write_atomically
from kis_write.protocols import HostSettings, Layout, Rows

__all__ = ["Parquet"]


class Parquet:
    """One file a shard, each row a list of T token ids."""

    name = "parquet"
    host = "datasets: Hugging Face Trainer, axolotl, LLaMA-Factory"
    with_target = False

    def layout(self, host: HostSettings) -> Layout:
        """Return the order of the files, which a host keeps that samples sequentially."""
        return Layout(None, "exact")

    def write(self, folder: Path, rows: Rows, shard: int, first: int, host: HostSettings) -> None:
        """Write one file."""
        arrow, parquet = _arrow()
        offsets = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(rows.shape[1])
        ids = arrow.ListArray.from_arrays(arrow.array(offsets), arrow.array(rows.ravel()))
        table = arrow.table({"input_ids": ids})

        def write(file: BinaryIO) -> None:
            parquet.write_table(table, file, compression="zstd")

        write_atomically(folder / f"kis-{shard:05}.parquet", write)

    def finish(self, folder: Path, shards: int, host: HostSettings) -> Sequence[Path]:
        """Return the files."""
        return [folder / f"kis-{shard:05}.parquet" for shard in range(shards)]

    def flags(self, folder: Path, host: HostSettings) -> Mapping[str, str]:
        """Return the arguments of ``load_dataset`` and ``TrainingArguments``."""
        return {
            "load_dataset": f"'parquet', data_files={str(folder / 'kis-*.parquet')!r}, split='train'",
            "TrainingArguments.train_sampling_strategy": "sequential",
            "TrainingArguments.num_train_epochs": "1",
        }

    def read(self, folder: Path, host: HostSettings) -> npt.NDArray[np.integer]:
        """Return the rows, (rows, T)."""
        arrow, parquet = _arrow()
        files = sorted(file for file in folder.glob("kis-*.parquet") if file.is_file())
        if not files:
            raise KISError(Problem(f"{folder}/kis-*.parquet", "no such file", "those that kis write wrote"))
        rows: list[npt.NDArray[np.integer]] = []
        for file in files:
            try:
                table = parquet.read_table(file, columns=["input_ids"])
                rows.append(table["input_ids"].combine_chunks().flatten().to_numpy().reshape(-1, host.sequence_length))
            except (OSError, ValueError, AttributeError, arrow.ArrowException) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                expected = f"Parquet with input_ids, lists of {host.sequence_length:,} token ids"
                raise KISError(Problem(str(file), reason[:200], expected)) from error
        return np.concatenate(rows)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        hint = "Install it with pip install 'kis-plugin[parquet]'."
        raise KISError(Problem("--format parquet", "no package pyarrow", "one to write with", hint)) from error
    return pyarrow, pyarrow.parquet
