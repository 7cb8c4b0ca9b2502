"""One example of a training dataset with infused tokens put into each of its per-token columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import permutation
from kis_plugin.run.infuser import RowSource
from kis_plugin.run.placed_row import Placed

__all__ = ["RowInfusion", "common_length"]

Tokens = npt.NDArray[np.int32]

_NONE = np.int32(-100)  # a label that transformers takes no loss of


def _labels(placed: Placed) -> Tokens:
    return placed.tokens if placed.targets is None else np.where(placed.targets, placed.tokens, _NONE)


# The values of each per-token column over infused tokens.
COLUMNS: dict[str, Callable[[Placed], Tokens]] = {
    "input_ids": lambda placed: placed.tokens,
    "labels": _labels,
    "attention_mask": lambda placed: np.ones_like(placed.tokens),
    "token_type_ids": lambda placed: np.zeros_like(placed.tokens),
    "special_tokens_mask": lambda placed: np.zeros_like(placed.tokens),
}
_POSITIONS = "position_ids"
_EXAMINED = 64  # rows whose length is looked at where the dataset does not know all lengths


@dataclass(frozen=True)
class RowInfusion:
    """Puts a row's infused tokens into its example; the row keeps its length.

    Attributes:
        source: Says what goes where.
        sequence_length: Tokens a row, T.
        block_diagonal: Each infused text attends to itself only: examples get ``position_ids`` that start over at each.
        explicit_labels: Every example gets ``labels``, since some infused tokens are no targets.
    """

    source: RowSource
    sequence_length: int
    block_diagonal: bool = False
    explicit_labels: bool = False

    def __call__(self, row: int, base: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the example for ``row``; the base one if nothing is infused there."""
        if self.explicit_labels and "labels" not in base:
            base = {**base, "labels": base["input_ids"]}
        placed = self.source.place(row, base["input_ids"])
        if placed is None:
            return self._with_positions(base, base, ()) if self.block_diagonal else base
        if len(base["input_ids"]) != self.sequence_length:
            found = f"a row of {len(base['input_ids'])} tokens at row {row} of the run"
            raise KISError(Problem("train_dataset", found, f"{self.sequence_length} tokens in every row", _PACK_HINT))
        example = dict(base)
        for name, infused_column in COLUMNS.items():
            if name in example:
                example[name] = _joined(placed, infused_column(placed), example[name])
        if _POSITIONS in example and not _one_document(example[_POSITIONS]):
            example[_POSITIONS] = _like(base[_POSITIONS], _running(placed, np.asarray(base[_POSITIONS])))
        return self._with_positions(example, base, placed.lengths) if self.block_diagonal else example

    def _with_positions(
        self, example: Mapping[str, Any], base: Mapping[str, Any], lengths: Sequence[int]
    ) -> Mapping[str, Any]:
        """Return an example with positions that start over at each text, and no mask, which would override them."""
        if not lengths and _POSITIONS in example:
            return {name: column for name, column in example.items() if name != "attention_mask"}
        rest = np.arange(self.sequence_length, dtype=np.int64)
        if _POSITIONS in base:
            rest = np.asarray(base[_POSITIONS], dtype=np.int64)
        texts = [np.arange(length, dtype=np.int64) for length in lengths]
        positions = np.concatenate([*texts, rest[: self.sequence_length - sum(lengths)]])
        kept = {name: column for name, column in example.items() if name != "attention_mask"}
        return kept | {_POSITIONS: _like(example["input_ids"], positions)}


_PACK_HINT = "Concatenate and cut your texts into rows of one length, as transformers' run_clm.py does."


def common_length(dataset: Any) -> int:
    """Return the tokens a row, T, after a look at up to 64 rows, at the lengths of all rows of a ``datasets.Dataset``.

    Raises:
        KISError: Rows that are no examples of tokens, rows of different lengths, columns that KIS would get wrong.
    """
    count = len(dataset)
    where = "train_dataset"
    if not count:
        raise KISError(Problem(where, "no rows", "at least one"))
    looked_at = sorted({0, count - 1, *permutation(min(count, 1 << 20), 0)[:_EXAMINED].tolist()})
    lengths = set()
    for index in looked_at:
        example = dataset[index]
        if not isinstance(example, Mapping) or "input_ids" not in example:
            keys = list(example) if isinstance(example, Mapping) else type(example).__name__
            hint = "Tokenize the texts before training."
            raise KISError(Problem(f"{where}[{index}]", f"{keys}", "a mapping with input_ids", hint))
        length = len(example["input_ids"])
        lengths.add(length)
        for name, value in example.items():
            per_token = isinstance(value, (Sequence, np.ndarray, torch.Tensor)) and not isinstance(value, str)
            if name not in (*COLUMNS, _POSITIONS) and per_token and np.shape(value)[:1] == (length,):
                expected = f"only columns that KIS knows: {', '.join((*COLUMNS, _POSITIONS))}"
                raise KISError(Problem(f"{where}[{index}]", f"column {name!r} with a value for each token", expected))
    if len(lengths) > 1:
        found = f"rows of {min(lengths)} to {max(lengths)} tokens"
        raise KISError(Problem(where, found, "rows of one length", _PACK_HINT))
    _refuse_odd_row(dataset, min(lengths))
    return lengths.pop()


def _refuse_odd_row(dataset: Any, length: int) -> None:
    """Look for a row of another length in the Arrow offsets: met in the middle of a run, it would end the run."""
    table: Any = getattr(dataset, "data", None)
    if "input_ids" not in getattr(table, "column_names", ()) or not hasattr(dataset, "_indices"):
        return
    if dataset.format["type"] == "custom":  # a transform makes the rows when they are read
        return
    import pyarrow.compute as arrow  # type: ignore[import-untyped]

    lengths = arrow.list_value_length(table.column("input_ids")).to_numpy()
    chosen: Any = dataset._indices
    if chosen is not None:  # after select() or shuffle()
        lengths = lengths[chosen.column(0).to_numpy()]
    odd = np.flatnonzero(lengths != length)
    if len(odd):
        found = f"a row of {int(lengths[odd[0]])} tokens, and {len(odd) - 1} more like it"
        raise KISError(Problem(f"train_dataset[{odd[0]}]", found, f"{length} tokens in every row", _PACK_HINT))


def _one_document(positions: Any) -> bool:
    """Whether positions nowhere start over, so that an infused row may keep them.

    Where they do, models of transformers attend no further back: the documents of the base text would cut sentences.
    """
    return bool((np.diff(np.asarray(positions)) == 1).all())


def _running(placed: Placed, base: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return positions, (T,), that count on through infused texts, and start over where the base text's do.

    At a row's start infused texts are a document of their own; further on they belong to the one they stand in.
    """
    begins = np.diff(base, prepend=base[0] - 2) != 1
    started = placed.joined(np.arange(len(placed.tokens)) == -1, begins)
    started[0] = True
    first = placed.joined(np.zeros(len(placed.tokens), dtype=base.dtype), base)
    place = np.arange(len(base))
    start = np.maximum.accumulate(np.where(started, place, 0))
    positions: npt.NDArray[Any] = place - start + first[start]
    return positions


def _joined(placed: Placed, values: npt.NDArray[Any], base: Any) -> Any:
    """Return a column of an infused row in the base column's own type."""
    if isinstance(base, torch.Tensor):
        if base.device.type != "cpu":
            infused = torch.from_numpy(values).to(base)
            return torch.cat(
                [(infused if piece.infused else base)[piece.first : piece.stop] for piece in placed.pieces]
            )
        column = torch.empty_like(base)
        into, given, at = column.numpy(), base.numpy(), 0  # several times as quick as torch for so little
        for piece in placed.pieces:
            into[at : at + piece.stop - piece.first] = (values if piece.infused else given)[piece.first : piece.stop]
            at += piece.stop - piece.first
        return column
    if isinstance(base, np.ndarray):
        return placed.joined(values.astype(base.dtype), base)
    infused_values = values.tolist()
    return [
        value
        for piece in placed.pieces
        for value in (infused_values if piece.infused else base)[piece.first : piece.stop]
    ]


def _like(column: Any, values: npt.NDArray[Any]) -> Any:
    """Return values as a column of the same type."""
    if isinstance(column, torch.Tensor):
        return torch.from_numpy(values).to(column.dtype)
    return values.astype(column.dtype) if isinstance(column, np.ndarray) else values.tolist()
