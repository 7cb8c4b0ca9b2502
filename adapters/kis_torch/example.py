"""One example of a plain loop's data with infused tokens: a mapping with ``input_ids``, or bare token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from kis_plugin.config.schema import Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.run.infuser import RowSource
from kis_torch.row_infusion import RowInfusion, common_length

__all__ = ["BaseExample", "Example", "first_example", "row_length"]


@dataclass(frozen=True)
class Example:
    """Puts a row's infused tokens into its example.

    Attributes:
        source: Says what goes where.
        sequence_length: Tokens a row that are trained on, T. Bare rows may have T + 1, inputs and targets in one.
        eos: Stands before a text at the start of such a row.
        block_diagonal: Each infused text attends to itself only.
        explicit_labels: Every example gets ``labels``, since some infused tokens are no targets.
    """

    source: RowSource
    sequence_length: int
    eos: int
    block_diagonal: bool = False
    explicit_labels: bool = False

    def __call__(self, row: int | None, base: Any) -> Any:
        """Return the example for ``row`` of the run, of the base one's type; None is base text.

        Raises:
            KISError: A row of another length.
        """
        if isinstance(base, Mapping):
            return RowInfusion(self.source, self.sequence_length, self.block_diagonal, self.explicit_labels)(row, base)
        if self.block_diagonal or self.explicit_labels:
            found = "bare token ids, with attention: sentence or loss: object"
            raise KISError(
                Problem("dataset", found, "mappings with input_ids, which have room for positions and labels")
            )
        if row is None or not self.source.infused(row):
            return base
        ids = np.asarray(base)
        if ids.shape not in ((self.sequence_length,), (self.sequence_length + 1,)):
            expected = f"({self.sequence_length},) or ({self.sequence_length + 1},)"
            raise KISError(Problem("dataset", f"ids of shape {ids.shape} at row {row} of the run", expected))
        infused = self._infused(row, ids).astype(ids.dtype)
        if isinstance(base, torch.Tensor):
            return torch.from_numpy(infused)
        return infused if isinstance(base, np.ndarray) else infused.tolist()

    def _infused(self, row: int, ids: Any) -> Any:
        ahead = len(ids) == self.sequence_length + 1
        placed = self.source.place(row, ids[1:] if ahead else ids)
        assert placed is not None
        return placed.inputs_and_targets(ids, self.eos) if ahead else placed.joined(placed.tokens, ids)


class BaseExample:
    """Leaves every example as it is: its batch is infused."""

    def __call__(self, row: int | None, base: Any) -> Any:
        """Return the base example."""
        return base

    def places(self, rows: Sequence[int | None]) -> Sequence[int]:
        """Return no place of a batch: nothing changes."""
        return ()


def first_example(dataset: Any) -> Any:
    """Return one example of a dataset, leaving it as it was.

    Raises:
        KISError: No examples, or a stream that can be read once only.
    """
    if not isinstance(dataset, IterableDataset) and hasattr(dataset, "__getitem__"):
        if not len(dataset):
            raise KISError(Problem("dataset", "no rows", "at least one"))
        return dataset[0]
    first, second = iter(dataset), iter(dataset)
    if first is second:
        hint = "Give sequence_length, the tokens a row: looking at a row would take it out of the data."
        raise KISError(Problem("dataset", "a stream that can be read once only", "one that iter() starts again", hint))
    for example in first:
        return example
    raise KISError(Problem("dataset", "no rows", "at least one"))


def row_length(dataset: Any, sequence_length: int | None, config: Config) -> int:
    """Return the tokens a row, T.

    Args:
        dataset: Examples are mappings with ``input_ids``, or bare ids.
        sequence_length: What the loop says; one less than the length of bare rows that hold inputs and targets.
        config: What is infused.

    Raises:
        KISError: Another length than ``sequence_length``, or settings that bare ids have no room for.
    """
    stream = isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__")
    if stream and sequence_length is not None:
        return sequence_length
    example = first_example(dataset)
    if isinstance(example, Mapping):
        length = len(example["input_ids"]) if stream and "input_ids" in example else common_length(dataset)
        lengths = [length]
    else:
        length = len(example)
        lengths = [length, length - 1]
        keys = {"loss": "all", "attention": "row"}
        problems = [
            Problem(f"infusion.{key}", getattr(config.infusion, key), f"{plain}, where examples are bare token ids")
            for key, plain in keys.items()
            if getattr(config.infusion, key) != plain
        ]
        if problems:
            raise KISError(problems)
    if sequence_length is not None and sequence_length not in lengths:
        expected = " or ".join(map(str, lengths)) + f", with rows of {length} tokens"
        raise KISError(Problem("sequence_length", f"{sequence_length}", expected))
    return sequence_length or length
