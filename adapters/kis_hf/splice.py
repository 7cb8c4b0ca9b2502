"""One example of a Trainer's dataset with infused tokens in front."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kis_plugin.errors import KISError, Problem
from kis_plugin.run import Infuser
from kis_plugin.seeded import permutation

__all__ = ["Splice", "block_size"]

Tokens = npt.NDArray[np.int32]

# What a column with one value a token holds over infused tokens.
COLUMNS: dict[str, Callable[[Tokens], Tokens]] = {
    "input_ids": lambda head: head,
    "labels": lambda head: head,
    "attention_mask": np.ones_like,
    "token_type_ids": np.zeros_like,
    "special_tokens_mask": np.zeros_like,
    "position_ids": lambda head: np.arange(len(head), dtype=np.int32),
}
_EXAMINED = 64


@dataclass(frozen=True)
class Splice:
    """Puts a row's infused tokens before the start of its base text; the row keeps its length."""

    infuser: Infuser
    block: int

    def __call__(self, row: int, base: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the example for ``row``; the base one if nothing is infused there."""
        head = self.infuser.head(row)
        if head is None:
            return base
        if len(base["input_ids"]) != self.block:
            found = f"a row of {len(base['input_ids'])} tokens at row {row} of the run"
            raise KISError(Problem("train_dataset", found, f"{self.block} tokens in every row", _PACK_HINT))
        example = dict(base)
        for name, start in COLUMNS.items():
            if name in example and not (name == "position_ids" and _one_document(example[name])):
                example[name] = _join(start(head), example[name])
        return example


_PACK_HINT = "Concatenate and cut your texts into rows of one length, as transformers' run_clm.py does."


def block_size(dataset: Any) -> int:
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
            if name not in COLUMNS and per_token and np.shape(value)[:1] == (length,):
                expected = f"only columns that KIS knows: {', '.join(COLUMNS)}"
                raise KISError(Problem(f"{where}[{index}]", f"column {name!r} with a value for each token", expected))
    if len(lengths) > 1:
        found = f"rows of {min(lengths)} to {max(lengths)} tokens"
        raise KISError(Problem(where, found, "rows of one length", _PACK_HINT))
    _refuse_odd_row(dataset, min(lengths))
    return lengths.pop()


def _refuse_odd_row(dataset: Any, length: int) -> None:
    """Look for one row of another length in the Arrow offsets: found in the middle of a run, it would end it."""
    table = getattr(dataset, "data", None)
    if "input_ids" not in getattr(table, "column_names", ()) or not hasattr(dataset, "_indices"):
        return
    if dataset.format["type"] == "custom":  # a transform makes the rows when they are asked for
        return
    import pyarrow.compute

    lengths = pyarrow.compute.list_value_length(table.column("input_ids")).to_numpy()
    if dataset._indices is not None:  # after select() or shuffle()
        lengths = lengths[dataset._indices.column(0).to_numpy()]
    odd = np.flatnonzero(lengths != length)
    if len(odd):
        found = f"a row of {int(lengths[odd[0]])} tokens, and {len(odd) - 1} more like it"
        raise KISError(Problem(f"train_dataset[{odd[0]}]", found, f"{length} tokens in every row", _PACK_HINT))


def _one_document(positions: Any) -> bool:
    """Whether positions nowhere start over, so that an infused row may keep them.

    Where they do, models of transformers attend no further back: the base text's borders would cut sentences.
    """
    return bool((np.diff(np.asarray(positions)) == 1).all())


def _join(head: Tokens, column: Any) -> Any:
    """Return head, then the start of the column, in the column's own type and length."""
    rest = column[: len(column) - len(head)]
    if isinstance(column, torch.Tensor):
        return torch.cat([torch.from_numpy(head).to(column.dtype), rest])
    if isinstance(column, np.ndarray):
        return np.concatenate([head.astype(column.dtype), rest])
    return [*head.tolist(), *rest]
