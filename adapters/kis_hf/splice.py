"""One example of a Trainer's dataset with infused tokens in front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kis_plugin.errors import KISError, Problem
from kis_plugin.run import Infuser
from kis_plugin.seeded import permutation

__all__ = ["Splice", "block_size"]

# What a column with one value a token holds over infused tokens; None: the tokens themselves, ...: left as it is.
COLUMNS: dict[str, Any] = {
    "input_ids": None,
    "labels": None,
    "attention_mask": 1,
    "token_type_ids": 0,
    "special_tokens_mask": 0,
    "position_ids": ...,
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
        for name, filling in COLUMNS.items():
            if name in example and filling is not ...:
                start = head if filling is None else np.full(len(head), filling, dtype=np.int32)
                example[name] = _join(start, example[name])
        return example


_PACK_HINT = "Concatenate and cut your texts into rows of one length, as transformers' run_clm.py does."


def block_size(dataset: Any) -> int:
    """Return the tokens a row, T, after a look at up to 64 rows.

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
    return lengths.pop()


def _join(head: npt.NDArray[np.int32], column: Any) -> Any:
    """Return head, then the start of the column, in the column's own type and length."""
    rest = column[: len(column) - len(head)]
    if isinstance(column, torch.Tensor):
        return torch.cat([torch.from_numpy(head).to(column.dtype), rest])
    if isinstance(column, np.ndarray):
        return np.concatenate([head.astype(column.dtype), rest])
    return [*head.tolist(), *rest]
