"""One collated batch with its infused rows put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from kis_plugin.errors import KISError, Problem
from kis_torch.row_infusion import COLUMNS, RowInfusion

__all__ = ["batch_shape", "infused_batch"]

_WHERE = "train_dataloader"
_KNOWN = (*COLUMNS, "position_ids")


def batch_shape(batch: Any) -> tuple[int, int]:
    """Return rows and tokens of a collated batch, (B, T).

    Raises:
        KISError: No mapping with ``input_ids`` (B, T), or a column with a value for each token that KIS does not know.
    """
    ids = batch.get("input_ids") if isinstance(batch, Mapping) else None
    if not isinstance(ids, torch.Tensor) or ids.ndim != 2:
        found = f"batches of {sorted(batch)}" if isinstance(batch, Mapping) else f"a {type(batch).__name__}"
        found += f", input_ids {tuple(ids.shape)}" if isinstance(ids, torch.Tensor) else ""
        raise KISError(Problem(_WHERE, found, "mappings with a tensor input_ids (rows, tokens)"))
    for name, column in batch.items():
        per_token = isinstance(column, torch.Tensor) and column.shape[:2] == ids.shape
        if per_token and (name not in _KNOWN or column.ndim != 2):
            expected = f"only columns that KIS knows, (rows, tokens): {', '.join(_KNOWN)}"
            raise KISError(Problem(_WHERE, f"column {name!r} with a value for each token", expected))
    return int(ids.shape[0]), int(ids.shape[1])


def infused_batch(row_infusion: RowInfusion, rows: Sequence[int], batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a batch with its infused rows, on the device that it came on; the host's own is never changed.

    Args:
        row_infusion: Puts infused tokens into one row.
        rows: The row of the run that each row of the batch fills.
        batch: Columns (B, T), and any others, which stay.
    """
    changed = [
        place for place, row in enumerate(rows) if row_infusion.block_diagonal or row_infusion.source.infused(row)
    ]
    if not changed:
        return batch
    columns = {name: batch[name] for name in _KNOWN if isinstance(batch.get(name), torch.Tensor)}
    # Base tokens are read on the CPU, so the rows that change are fetched from a GPU; the others stay there.
    fetched = {name: column[changed].cpu() for name, column in columns.items()}
    examples = [
        row_infusion(rows[place], {name: column[at] for name, column in fetched.items()})
        for at, place in enumerate(changed)
    ]
    names = dict.fromkeys(name for example in examples for name in example)
    infused = {name: value for name, value in batch.items() if name not in columns or name in names}
    for name in names:
        column = columns.get(name, columns["input_ids"])
        # A row of which everything is a target needs no labels; beside one that has them it does.
        new = torch.stack([torch.as_tensor(example.get(name, example["input_ids"])) for example in examples])
        infused[name] = column.index_copy(0, torch.tensor(changed, device=column.device), new.to(column))
    return type(batch)(infused)  # type: ignore[call-arg]
