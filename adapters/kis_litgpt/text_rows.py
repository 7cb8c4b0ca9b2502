"""A LitGPT data module for plain text, packed into rows: enough for a small run, no litdata needed.

``kis init --for litgpt`` uses it, and ``examples/litgpt``. Larger runs take one of LitGPT's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from litgpt.data import DataModule
from torch.utils.data import DataLoader, TensorDataset, default_collate

DOCUMENT_END = "\f"
VALIDATION = 20
"""One row in so many is kept for the validation loss."""


@dataclass
class TextRows(DataModule):
    """Packs documents, separated by form feeds, into rows of one length."""

    train_path: Path
    """Text to train on: a file, or a folder of .txt files."""
    val_path: Path | None = None
    """Text to measure the validation loss on; by default the last twentieth of the rows, which are not trained on."""
    seed: int = 0
    """Of the order of the rows."""

    tokenizer: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__init__()

    def connect(self, tokenizer: Any = None, batch_size: int = 1, max_seq_length: int | None = None) -> None:
        """Take what LitGPT knows of the run."""
        self.tokenizer, self.batch_size, self.width = tokenizer, batch_size, (max_seq_length or 0) + 1

    def rows(self, path: Path) -> torch.Tensor:
        """Return the text as rows: (rows, max_seq_length + 1)."""
        files = sorted(Path(path).rglob("*.txt")) if Path(path).is_dir() else [Path(path)]
        documents = [text for file in files for text in file.read_text(encoding="utf-8").split(DOCUMENT_END)]
        ids = torch.cat([self.tokenizer.encode(document.strip(), eos=True) for document in documents])
        return ids[: len(ids) // self.width * self.width].view(-1, self.width)

    def split(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the rows to train on, and those for the validation loss."""
        rows = self.rows(self.train_path)
        if self.val_path is not None:
            return rows, self.rows(self.val_path)
        first = len(rows) - max(len(rows) // VALIDATION, self.batch_size)
        return rows[:first], rows[first:]

    def train_dataloader(self) -> DataLoader:
        """Return the rows in a seeded order."""
        generator = torch.Generator().manual_seed(self.seed)
        return self.loader(self.split()[0], shuffle=True, generator=generator)

    def val_dataloader(self) -> DataLoader:
        """Return the rows in order."""
        return self.loader(self.split()[1])

    def loader(self, rows: torch.Tensor, **keys: Any) -> DataLoader:
        """Return batches of token ids, (batch size, max_seq_length + 1)."""
        return DataLoader(TensorDataset(rows), batch_size=self.batch_size, drop_last=True, collate_fn=stacked, **keys)


def stacked(rows: list[tuple[torch.Tensor]]) -> torch.Tensor:
    """Return a batch as LitGPT wants it: one tensor."""
    batch: torch.Tensor = default_collate([row for (row,) in rows])
    return batch
