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
from kis_torch.labels import LabelRule, infused_labels

__all__ = ["RowInfusion", "common_length"]

Tokens = npt.NDArray[np.int32]

# The values of each per-token column over infused tokens.
COLUMNS: dict[str, Callable[[Placed], Tokens]] = {
    "input_ids": lambda placed: placed.tokens,
    "attention_mask": lambda placed: np.ones_like(placed.tokens),
    "token_type_ids": lambda placed: np.zeros_like(placed.tokens),
    "special_tokens_mask": lambda placed: np.zeros_like(placed.tokens),
}
_POSITIONS = "position_ids"
_DOCUMENTS = "seq_lengths"
_EXAMINED = 64  # rows whose length is looked at where the dataset does not know all lengths


@dataclass(frozen=True)
class RowInfusion:
    """Puts a row's infused tokens into its example; the row keeps its length.

    Columns with a value for each token change with the tokens: base tokens keep their values, infused ones get what the
    column holds for text that is trained on. ``seq_lengths``, the documents of a packed row in TRL, is made anew.

    Attributes:
        source: Says what goes where.
        sequence_length: Tokens a row, T; of the longest one where they differ.
        block_diagonal: Each infused text attends to itself only: examples get ``position_ids`` that start over at each.
        explicit_labels: Every example gets ``labels``, since some infused tokens are no targets.
        rule: What the labels of the data are.
    """

    source: RowSource
    sequence_length: int
    block_diagonal: bool = False
    explicit_labels: bool = False
    rule: LabelRule = LabelRule.EQUAL

    def __call__(self, row: int | None, base: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the example that carries what is planned for ``row``; the base one if that is nothing, or None.

        Raises:
            KISError: A row with too few tokens, or with labels that are made otherwise than those of other rows.
        """
        if self.explicit_labels and "labels" not in base:
            base = {**base, "labels": base["input_ids"]}
        padding = 0 if self.block_diagonal else _left_padding(base)  # without a mask there is no padding
        if padding:
            return _rolled(self._right_padded(row, _rolled(base, padding)), None)
        return self._right_padded(row, base)

    def places(self, rows: Sequence[int | None]) -> Sequence[int]:
        """Return the places in a batch, of planned rows or None for base text, of the examples that are changed."""
        if self.explicit_labels or self.block_diagonal or not rows:
            return range(len(rows))
        of_batch: Callable[..., list[int]] | None = getattr(self.source, "infused_places", None)
        if of_batch is not None:
            return of_batch(rows)
        return [place for place, row in enumerate(rows) if row is not None and self.source.infused(row)]

    def _right_padded(self, row: int | None, base: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the example for a row that begins with a token of its text."""
        placed = None if row is None else self.source.place(row, base["input_ids"])
        if placed is None:
            return self._with_positions(base, base, ()) if self.block_diagonal else base
        length = len(base["input_ids"])
        if len(placed.tokens) > length:
            found = f"a row of {length} tokens at row {row} of the run"
            raise KISError(Problem("train_dataset", found, f"{self.sequence_length} tokens in every row", _PACK_HINT))
        example = {name: self._column(name, column, placed, base, row) for name, column in base.items()}
        return self._with_positions(example, base, placed.lengths) if self.block_diagonal else example

    def _column(self, name: str, column: Any, placed: Placed, base: Mapping[str, Any], row: int | None) -> Any:
        """Return one column of an infused row."""
        if name == "labels":
            ids, labels = np.asarray(base["input_ids"]), np.asarray(column)
            where = f"train_dataset, row {row} of the run"
            return _like(column, infused_labels(self.rule, placed, ids, labels, where))
        if name in COLUMNS:
            return _joined(placed, COLUMNS[name](placed), column)
        if name == _DOCUMENTS and sum(column) == len(base["input_ids"]):
            return _like(column, _document_lengths(placed, np.asarray(column), self.block_diagonal))
        if not _per_token(column, len(base["input_ids"])):
            return column
        if name == _POSITIONS:
            keeps = _one_document(column)
            return column if keeps else _like(column, _running(placed, np.asarray(column)))
        if name == "seq_idx":
            number = np.asarray(column)
            starts = _document_starts(placed, np.diff(number, prepend=number[0]) != 0, self.block_diagonal)
            return _like(column, (number[0] + starts.cumsum() - 1).astype(number.dtype))
        return _joined(placed, _infused_values(placed, np.asarray(column)), column)

    def _with_positions(
        self, example: Mapping[str, Any], base: Mapping[str, Any], lengths: Sequence[int]
    ) -> Mapping[str, Any]:
        """Return an example with positions that start over at each text, and no mask, which would override them."""
        kept = {name: column for name, column in example.items() if name != "attention_mask"}
        if _DOCUMENTS in example or (not lengths and _POSITIONS in example):
            return kept  # the collator makes positions of documents, or they are there
        length = len(example["input_ids"])
        rest = np.arange(length, dtype=np.int64)
        if _POSITIONS in base:
            rest = np.asarray(base[_POSITIONS], dtype=np.int64)
        texts = [np.arange(length, dtype=np.int64) for length in lengths]
        positions = np.concatenate([*texts, rest[: length - sum(lengths)]])
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
        lengths.add(len(example["input_ids"]))
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


def _per_token(column: Any, length: int) -> bool:
    """Return whether a column holds one value for each of ``length`` tokens."""
    sequence = isinstance(column, (Sequence, np.ndarray, torch.Tensor)) and not isinstance(column, str)
    return sequence and np.shape(column) == (length,)


def _infused_values(placed: Placed, base: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the values over infused tokens, (n,), of a column that KIS knows nothing of, from those of its base row.

    It is the value that most tokens have, zeros left out: a weight or a mask of 0 would take the text out of the loss.
    """
    values, counts = np.unique(base[base != 0], return_counts=True)
    return np.full(len(placed.tokens), values[counts.argmax()] if len(values) else 0, dtype=base.dtype)


def _document_lengths(placed: Placed, base: npt.NDArray[Any], each_text: bool) -> npt.NDArray[Any]:
    """Return the lengths of the documents of an infused row, from those of its base row."""
    begins = np.zeros(int(base.sum()), dtype=bool)  # (T,) base tokens that begin a document
    begins[np.concatenate([[0], base[:-1].cumsum()])] = True
    starts = _document_starts(placed, begins, each_text)
    return np.diff(np.append(np.flatnonzero(starts), len(starts)))


def _document_starts(placed: Placed, begins: npt.NDArray[np.bool_], each_text: bool = False) -> npt.NDArray[np.bool_]:
    """Return which tokens of an infused row begin a document, (T,), from which of the base row's do.

    At the row's start infused texts are a document together, or ``each_text`` is one, and the base text after them
    begins another. Further on they belong to the document they stand in.
    """
    of_texts = np.zeros(len(placed.tokens), dtype=bool)
    if each_text:
        of_texts[np.concatenate([[0], np.cumsum(placed.lengths[:-1], dtype=np.int64)])] = True
    begins = begins.copy()
    begins[0] = True
    starts = placed.joined(of_texts, begins)
    starts[0] = True
    return starts


def _left_padding(example: Mapping[str, Any]) -> int:
    """Return how many tokens of padding stand before the text of a row."""
    mask = example.get("attention_mask")
    if mask is None or np.ndim(mask) != 1 or not len(mask) or mask[0]:
        return 0
    return int(np.argmax(np.asarray(mask) != 0))


def _rolled(example: Mapping[str, Any], by: int | None) -> Mapping[str, Any]:
    """Return a row with ``by`` tokens of padding on the left as one padded on the right; None rolls it back."""
    mask = np.asarray(example["attention_mask"])
    by = -int(np.argmax(mask[::-1] != 0)) if by is None else by
    return {
        name: _like(column, np.roll(np.asarray(column), -by)) if _per_token(column, len(mask)) else column
        for name, column in example.items()
    }


def _one_document(positions: Any) -> bool:
    """Whether positions nowhere start over, so that an infused row may keep them.

    Where they do, models of transformers attend no further back: the documents of the base text would cut sentences.
    """
    return bool((np.diff(np.asarray(positions)) == 1).all())


def _running(placed: Placed, base: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return positions, (T,), that count on through infused texts, and start over where the base text's do.

    At a row's start infused texts are a document of their own; further on they belong to the one they stand in.
    """
    started = _document_starts(placed, np.diff(base, prepend=base[0] - 2) != 1)
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
        return placed.joined(values, base, base.dtype)
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
    return values.astype(column.dtype, copy=False) if isinstance(column, np.ndarray) else values.tolist()
