"""How many rows of a tokenized data set have room for a whole statement, before any run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.sources.record_files import column_batches
from kis_plugin.tokenized.infusion_split import InfusionSplit
from kis_plugin.tokenized.texts import load_texts
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["RowRoom", "row_room"]

_COLUMN = "input_ids"


@dataclass(frozen=True)
class RowRoom:
    """The rows of a data set beside the statements that are infused into them.

    Attributes:
        data: The data set.
        rows: Its rows.
        shortest: Tokens of the shortest row.
        longest: Tokens of the longest row.
        longest_text: Tokens of the longest statement or piece of a document, its EOS included; 0 if nothing is infused.
        with_room: Rows that can take it whole.
    """

    data: str
    rows: int
    shortest: int
    longest: int
    longest_text: int
    with_room: int


def row_room(config: Config, split: InfusionSplit, data: Path, tokenizer: TextTokenizer) -> RowRoom:
    """Count the rows of a data set that have room for every statement of a configuration.

    Args:
        config: What is infused.
        split: Its knowledge.
        data: A Parquet file, or a folder that ``save_to_disk`` wrote, with a column ``input_ids``.
        tokenizer: The run's.

    Raises:
        KISError: Data that cannot be read or has no rows, or a statement longer than every row.
    """
    lengths = _lengths(data)
    texts = load_texts(config, split, tokenizer, int(lengths.max()))
    longest = int(np.diff(texts.offsets).max()) if len(texts) else 0
    return RowRoom(
        data=str(data),
        rows=len(lengths),
        shortest=int(lengths.min()),
        longest=int(lengths.max()),
        longest_text=longest,
        with_room=int((lengths >= longest).sum()),
    )


def _lengths(data: Path) -> IntArray:
    """Return the tokens of each row, (rows,)."""
    lengths = list(_lengths_of_batches(data))
    if not sum(map(len, lengths)):
        raise KISError(Problem(str(data), "no rows", "at least one"))
    return np.concatenate(lengths)


def _lengths_of_batches(data: Path) -> Iterator[IntArray]:
    import pyarrow as arrow  # type: ignore[import-untyped]
    import pyarrow.compute as compute  # type: ignore[import-untyped]

    for column in column_batches(data, _COLUMN):
        if not any(is_list(column.type) for is_list in _list_types(arrow.types)):
            expected = "one list of token ids a row"
            raise KISError(Problem(str(data), f"a column {_COLUMN} of {column.type}", expected, "Tokenize the texts."))
        yield compute.fill_null(compute.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _list_types(types: Any) -> tuple[Any, ...]:
    return types.is_list, types.is_large_list, types.is_fixed_size_list
