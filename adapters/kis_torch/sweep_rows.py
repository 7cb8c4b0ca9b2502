"""What runs of a sweep need of torch, whichever framework trains them: rows of a token file, the time of a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from kis_plugin.storage.npy_files import open_mapped
from kis_sweep.run_spec import Recipe
from kis_sweep.run_spec_file import median_seconds

__all__ = ["PackedRows", "seconds_per_step"]


class PackedRows(Dataset[torch.Tensor]):
    """Tokens end to end as rows of one length; more rows than the text has are read from its beginning again.

    Args:
        path: A ``.npy`` of tokens, (tokens,).
        length: Tokens of a row.
        rows: How many there are to be; by default those of the text.
    """

    def __init__(self, path: Path, length: int, rows: int | None = None) -> None:
        tokens = open_mapped(str(path))
        self._rows = tokens[: len(tokens) // length * length].reshape(-1, length)  # (rows, length)
        self._count = len(self._rows) if rows is None else rows

    @property
    def distinct_rows(self) -> int:
        """Rows of the text, each counted once."""
        return len(self._rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._count

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return the ids of one row, (length,)."""
        return torch.from_numpy(np.asarray(self._rows[index % len(self._rows)]).astype(np.int64))


def seconds_per_step(
    recipe: Recipe, model: nn.Module, rows: PackedRows, loss_of: Callable[[nn.Module, torch.Tensor], torch.Tensor]
) -> float:
    """Return how long a step takes on this machine, with nothing beside it: the median of a few, on one core of it.

    Args:
        recipe: Batch, learning rate and precision.
        model: With random weights.
        rows: At least a batch of them.
        loss_of: Gives the loss of a batch of rows, (batch, length); its forward pass runs in the recipe's precision.
    """
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate)
    batch = torch.stack([rows[row] for row in range(recipe.batch)]).to(device)

    def step() -> None:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss = loss_of(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        float(loss.detach())  # waits for a GPU

    return median_seconds(step)
