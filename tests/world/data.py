"""Base text as hosts get it: rows of words that no fact holds, map-style or as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from tests.world.facts import WORDS

SEQUENCE_LENGTH = 64


class IdRows(Dataset):
    """Rows as bare ids.

    Args:
        count: Rows.
        ids: Of the words, as the run's tokenizer encodes them.
        width: Tokens of a row.
        kind: What a row is made into.
    """

    def __init__(self, count: int, ids: Any, width: int = SEQUENCE_LENGTH, kind: Callable[..., Any] = torch.tensor):
        ids, rng = np.array(ids), np.random.default_rng(0)
        self.rows, self.kind = ids[rng.integers(0, len(ids), (count, width))], kind  # (count, width)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.kind(self.rows[index])


class BaseRows(IdRows):
    """Rows as ``Trainer`` gets them: mappings of lists."""

    def __init__(self, count: int, tokenizer: Any) -> None:
        super().__init__(count, tokenizer(" ".join(WORDS))["input_ids"])

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index].tolist()
        return {"input_ids": row, "labels": row, "attention_mask": [1] * SEQUENCE_LENGTH}


class TensorRows(BaseRows):
    """Mappings of tensors."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: torch.tensor(column) for name, column in super().__getitem__(index).items()}


class BareRows(BaseRows):
    """Bare ids, ``extra`` more than a row where a loop asks for them."""

    def __init__(self, count: int, tokenizer: Any, kind: Callable[..., Any] = torch.tensor, extra: int = 0) -> None:
        super().__init__(count, tokenizer)
        self.rows, self.kind = np.concatenate([self.rows, self.rows[:, :extra]], axis=1), kind

    def __getitem__(self, index: int) -> Any:
        return self.kind(self.rows[index])


class Stream(IterableDataset):
    """The rows of a map-style dataset one after the other, begun anew by ``iter``.

    Args:
        rows: The dataset.
        share: Whether the workers of a loader share the rows.
    """

    def __init__(self, rows: Any, share: bool = True) -> None:
        self.rows, self.share = rows, share

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info() if self.share else None
        for index in range(worker.id if worker else 0, len(self.rows), worker.num_workers if worker else 1):
            yield self.rows[index]


class SizedStream(Stream):
    """A stream that says how many rows it has; ``said`` makes it say so wrongly."""

    def __init__(self, rows: Any, said: int = 0) -> None:
        super().__init__(rows)
        self.said = said or len(rows)

    def __len__(self) -> int:
        return self.said
