"""A LitGPT data module for plain text files, packed into rows: enough for a small run, no litdata needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from litgpt.data import DataModule
from torch.utils.data import DataLoader, TensorDataset, default_collate

DOCUMENT_END = "\f"


@dataclass
class TextRows(DataModule):
    """Packs documents, separated by form feeds, into rows of one length."""

    train_path: Path
    """Text to train on."""
    val_path: Path
    """Text to measure the validation loss on."""
    seed: int = 0
    """Of the order of the rows."""

    tokenizer: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__init__()

    def connect(self, tokenizer: Any = None, batch_size: int = 1, max_seq_length: int | None = None) -> None:
        """Take what LitGPT knows of the run."""
        self.tokenizer, self.batch_size, self.width = tokenizer, batch_size, (max_seq_length or 0) + 1

    def rows(self, path: Path) -> TensorDataset:
        """Return the text as rows of max_seq_length + 1 tokens."""
        documents = path.read_text(encoding="utf-8").split(DOCUMENT_END)
        ids = torch.cat([self.tokenizer.encode(document.strip(), eos=True) for document in documents])
        return TensorDataset(ids[: len(ids) // self.width * self.width].view(-1, self.width))

    def train_dataloader(self) -> DataLoader:
        """Return the rows in a seeded order."""
        generator = torch.Generator().manual_seed(self.seed)
        return self.loader(self.train_path, shuffle=True, generator=generator)

    def val_dataloader(self) -> DataLoader:
        """Return the rows in order."""
        return self.loader(self.val_path)

    def loader(self, path: Path, **keys: Any) -> DataLoader:
        """Return batches of token ids, (batch size, max_seq_length + 1)."""
        return DataLoader(self.rows(path), batch_size=self.batch_size, drop_last=True, collate_fn=stacked, **keys)


def stacked(rows: list[tuple[torch.Tensor]]) -> torch.Tensor:
    """Return a batch as LitGPT wants it: one tensor."""
    batch: torch.Tensor = default_collate([row for (row,) in rows])
    return batch
