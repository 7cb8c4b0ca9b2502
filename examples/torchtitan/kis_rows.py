"""A data loader for torchtitan 0.3 that trains on what ``kis write --format datatrove`` wrote, row by row, in order.

In the function of a ``config_registry.py``: ``dataloader=KISDataLoader.Config(dataset_path="infused")``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset
from torchtitan.components.dataloader import ParallelAwareDataloader


class KISRows(IterableDataset):
    """The rows of one rank. Step by step, all ranks together have the rows of the plan."""

    def __init__(self, folder: str, seq_len: int, rank: int, ranks: int, batch: int) -> None:
        manifest = json.loads((Path(folder) / "kis.manifest.json").read_text())
        if manifest["sequence_length"] != seq_len:
            raise ValueError(f"{folder} has rows of {manifest['sequence_length']} tokens, not of {seq_len}")
        kind = np.uint16 if manifest["vocabulary"] <= 1 << 16 else np.uint32
        self.rows = np.memmap(Path(folder) / "kis.ds", dtype=kind, mode="r").reshape(-1, seq_len + 1)
        self.rank, self.ranks, self.batch, self.done = rank, ranks, batch, 0

    def __iter__(self) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
        length = self.rows.shape[1] - 1
        while True:
            step, place = divmod(self.done, self.batch)
            number = (step * self.ranks + self.rank) * self.batch + place
            if number >= len(self.rows):
                return
            self.done += 1
            row = torch.from_numpy(self.rows[number].astype(np.int64))  # (T + 1,)
            yield {"input": row[:-1], "positions": torch.arange(length)}, row[1:]

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another left off."""
        self.done = state["done"]


class KISDataLoader(ParallelAwareDataloader):
    """Takes what torchtitan gives to every data loader. It has no workers: rows are read from a memory map."""

    @dataclass(kw_only=True, slots=True)
    class Config(ParallelAwareDataloader.Config):
        """``dataset_path``: the folder of the manifest."""

    def __init__(
        self, config: Config, *, dp_world_size: int, dp_rank: int, seq_len: int, local_batch_size: int, **others: Any
    ) -> None:
        rows = KISRows(str(config.dataset_path), seq_len, dp_rank, dp_world_size, local_batch_size)
        super().__init__(
            rows, dp_rank=dp_rank, dp_world_size=dp_world_size, batch_size=local_batch_size,
            snapshot_every_n_steps=others.get("snapshot_every_n_steps", 1),
        )  # fmt: skip
