"""Collated batches, of whatever form a host's collator gives them, as rows that infused texts are put into.

A batch is a mapping of columns, a tuple or list of tensors, or a bare tensor of token ids. Its rows may be padded, on
either side, or joined to one, (1, N), whose documents begin where ``position_ids`` start over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_torch.labels import IGNORED, LABEL_NAMES, LabelRule
from kis_torch.row_infusion import RowInfusion

__all__ = ["BatchRows", "infused_batch"]

_WHERE = "train_dataloader"
_IDS = ("input_ids", "tokens", "ids", "idx", "inputs", "x")
_SEQUENCE_BOUNDS = ("cu_seq_lens_q", "cu_seq_lens_k")
_LONGEST = ("max_length_q", "max_length_k")


@dataclass(frozen=True)
class BatchRows:
    """One batch as rows.

    Attributes:
        batch: As the host's collator gave it.
        columns: Tensors with a value for each token, (B, T), by the names that KIS knows: ``input_ids``, ``labels``.
        names: The batch's own key or place of each column.
        bounds: Where each row's text stands: row of the tensors, first token, token after the last.
    """

    batch: Any
    columns: Mapping[str, torch.Tensor]
    names: Mapping[str, Any]
    bounds: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, batch: Any, rows: int) -> BatchRows:
        """Find the rows of a batch.

        Args:
            batch: The batch.
            rows: How many a batch has; a joined one is cut into so many where documents begin.

        Raises:
            KISError: No token ids, (B, T), among its parts.
        """
        parts: dict[Any, Any] = {0: batch} if isinstance(batch, torch.Tensor) else {}
        if isinstance(batch, Mapping):
            parts = dict(batch)
        elif isinstance(batch, (tuple, list)):
            parts = dict(enumerate(batch))
        key = _ids_key(parts)
        if key is None:
            found = ", ".join(f"{name}: {_shape(part)}" for name, part in parts.items()) or f"a {type(batch).__name__}"
            raise KISError(Problem(_WHERE, f"batches of {found}", "token ids (rows, tokens) among them"))
        ids = parts[key]
        alike = {name: part for name, part in parts.items() if _is_column(part, ids)}
        names = {("input_ids" if name == key else _known_name(name, part, ids)): name for name, part in alike.items()}
        columns = {known: alike[name] for known, name in names.items()}
        return cls(batch, columns, names, tuple(_bounds(columns, rows)))

    @property
    def lengths(self) -> IntArray:
        """Tokens of each row, (rows,)."""
        return np.array([stop - first for _, first, stop in self.bounds], dtype=np.int64)

    @property
    def joined(self) -> bool:
        """Whether the rows were joined to one."""
        return len(self.bounds) != len(self.columns["input_ids"])

    def by_row(self, name: str, filled: int) -> npt.NDArray[np.int64] | None:  # (rows, T)
        """Return a column's rows, each from its first token of text on, ``filled`` behind its end; None without it."""
        column = self.columns.get(name)
        if column is None:
            return None
        values = np.full((len(self.bounds), int(self.lengths.max(initial=0))), filled, dtype=np.int64)
        for number, (row, first, stop) in enumerate(self.bounds):
            values[number, : stop - first] = column[row, first:stop].cpu().numpy()
        return values

    def label_pairs(self) -> list[tuple[Any, Any]]:
        """Return ids and labels of each row, if there are labels."""
        ids, labels = self.columns["input_ids"], self.columns.get("labels")
        if labels is None:
            return []
        return [
            (ids[row, first:stop].cpu().numpy(), labels[row, first:stop].cpu().numpy())
            for row, first, stop in self.bounds
            if stop > first
        ]


def infused_batch(row_infusion: RowInfusion, carried: Sequence[int | None], rows: BatchRows) -> Any:
    """Return a batch with its infused rows, on the device that it came on; the host's own is never changed.

    Args:
        row_infusion: Puts infused tokens into one row.
        carried: The planned row whose texts each row of the batch carries; None for base text.
        rows: The batch.
    """
    changed = [
        place
        for place, row in enumerate(carried)
        if row_infusion.block_diagonal or (row is not None and row_infusion.source.infused(row))
    ]
    if not changed:
        return rows.batch
    ids = rows.columns["input_ids"]
    columns = {name: column.clone() for name, column in rows.columns.items()}
    for place in changed:
        row, first, stop = rows.bounds[place]
        # Base tokens are read on the CPU, so the rows that change are fetched from a GPU.
        base = {name: column[row, first:stop].cpu() for name, column in rows.columns.items()}
        for name, column in row_infusion(carried[place], base).items():
            if name not in columns:  # labels or positions that the batch did without
                columns[name] = _new_column(name, ids)
            columns[name][row, first:stop] = torch.as_tensor(column).to(columns[name])
    dropped = [name for name in columns if row_infusion.block_diagonal and name == "attention_mask"]
    return _rebuilt(rows, {name: column for name, column in columns.items() if name not in dropped}, dropped)


def _new_column(name: str, ids: torch.Tensor) -> torch.Tensor:
    """Return the column that a batch without it stands for."""
    if name == "position_ids":
        return torch.arange(ids.shape[1], device=ids.device).repeat(len(ids), 1)
    return ids.clone()


def _rebuilt(rows: BatchRows, columns: Mapping[str, torch.Tensor], dropped: Sequence[str]) -> Any:
    """Return a batch of the host's own form with other columns."""
    batch = rows.batch
    if isinstance(batch, torch.Tensor):
        return columns["input_ids"]
    named = {rows.names.get(name, name): column for name, column in columns.items()}
    if not isinstance(batch, Mapping):
        parts = [named.get(place, part) for place, part in enumerate(batch)]
        return type(batch)(parts) if type(batch) in (tuple, list) else type(batch)(*parts)
    gone = {rows.names.get(name, name) for name in dropped}
    whole = {name: value for name, value in {**batch, **named}.items() if name not in gone}
    if len(rows.columns["input_ids"]) == 1 and "position_ids" in columns:
        whole |= _of_documents(whole, columns["position_ids"])
    return type(batch)(whole)  # type: ignore[call-arg]


def _of_documents(batch: Mapping[str, Any], positions: torch.Tensor) -> dict[str, Any]:
    """Return what a collator that joins rows makes of positions: bounds of documents, and labels at their starts."""
    starts = (positions[0] == 0).nonzero().flatten()
    bounds = torch.cat([starts, starts.new_tensor([positions.shape[1]])])
    made: dict[str, Any] = {
        name: bounds.to(batch[name]) for name in _SEQUENCE_BOUNDS if isinstance(batch.get(name), torch.Tensor)
    }
    made |= {name: type(batch[name])(bounds.diff().max().item()) for name in _LONGEST if name in batch}
    if "seq_idx" in batch:
        number = torch.repeat_interleave(torch.arange(len(starts), device=starts.device), bounds.diff())
        made["seq_idx"] = number[None].to(batch["seq_idx"])
    if isinstance(batch.get("labels"), torch.Tensor):
        # The first token of a document is no target: the one before it belongs to another.
        made["labels"] = batch["labels"].masked_fill(positions == 0, IGNORED)
    return made


def _bounds(columns: Mapping[str, torch.Tensor], rows: int) -> list[tuple[int, int, int]]:
    """Return where the text of each row stands."""
    ids, mask, positions = columns["input_ids"], columns.get("attention_mask"), columns.get("position_ids")
    if len(ids) == 1 and rows > 1 and positions is not None:
        return _cut(np.flatnonzero(positions[0].cpu().numpy() == 0), ids.shape[1], rows)
    if mask is None:
        return [(row, 0, ids.shape[1]) for row in range(len(ids))]
    kept = mask.cpu().numpy() != 0  # (B, T)
    stops = kept.shape[1] - kept[:, ::-1].argmax(axis=1)
    stops = np.where(kept.any(axis=1), stops, 0)
    return list(zip(range(len(ids)), np.minimum(kept.argmax(axis=1), stops).tolist(), stops.tolist(), strict=True))


def _cut(starts: IntArray, tokens: int, rows: int) -> list[tuple[int, int, int]]:
    """Cut joined rows, (1, tokens), into ``rows`` parts, each from where a document begins.

    Where there are as many documents, each is a row. Else the parts are of like length.
    """
    if len(starts) == rows and starts[0] == 0:
        return [(0, int(first), int(stop)) for first, stop in zip(starts, [*starts[1:], tokens], strict=True)]
    starts = starts if len(starts) else np.zeros(1, dtype=np.int64)
    wanted = np.arange(rows) * tokens / rows
    nearest = starts[np.abs(starts[None, :] - wanted[:, None]).argmin(axis=1)]  # (rows,)
    nearest[0] = 0
    return [(0, int(first), int(stop)) for first, stop in zip(nearest, [*nearest[1:], tokens], strict=True)]


def _ids_key(parts: Mapping[Any, Any]) -> Any:
    """Return the key of the token ids: by name, else the first integers (B, T)."""
    named = [name for name in _IDS if _is_ids(parts.get(name))]
    return next(iter([*named, *(name for name, part in parts.items() if _is_ids(part))]), None)


def _is_ids(part: Any) -> bool:
    integer = isinstance(part, torch.Tensor) and not part.is_floating_point() and part.dtype is not torch.bool
    return integer and part.ndim == 2


def _is_column(part: Any, ids: torch.Tensor) -> bool:
    return isinstance(part, torch.Tensor) and part.shape == ids.shape


def _known_name(name: Any, part: torch.Tensor, ids: torch.Tensor) -> Any:
    """Return ``labels`` for a column of labels, by its name or by what it holds; else its own name."""
    if name in LABEL_NAMES:
        return "labels"
    if isinstance(name, str) or not _is_ids(part):
        return name
    pairs = list(zip(ids.cpu().numpy(), part.cpu().numpy(), strict=True))
    return "labels" if any(all(rule.holds(*pair) for pair in pairs) for rule in LabelRule) else name


def _shape(part: Any) -> str:
    return f"{part.dtype} {tuple(part.shape)}" if isinstance(part, torch.Tensor) else type(part).__name__
