"""Carries global row numbers through a host's loader, and infuses the dataset by them.

A dataset index says which example of the base data is meant; it does not say when in the run it is trained on. The
sampler knows, so ``NumberedSampler`` lets every index carry its global row number, through batching, sharding over
ranks and worker processes, to ``InfusedDataset``, which makes that row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from kis_plugin.errors import KISError, Problem

__all__ = ["InfusedDataset", "NumberedSampler", "OncePerRow", "RowIndex"]


class RowIndex(int):
    """A dataset index that knows which row of the run it fills.

    Attributes:
        row: The row of the run; None for padding that a loader repeats.
        carries: The planned row whose texts go there; by default ``row``. None for base text.
    """

    row: int | None
    carries: int | None

    def __new__(cls, index: int, row: int | None, carries: int | None = -1) -> RowIndex:
        """Make an index that counts as the plain ``index`` everywhere."""
        self = int.__new__(cls, index)
        self.row = row
        self.carries = row if carries == -1 else carries
        return self

    def __reduce__(self) -> tuple[type[RowIndex], tuple[int, int | None, int | None]]:
        """Keep the row numbers when the index goes to a worker process."""
        return (RowIndex, (int(self), self.row, self.carries))


class NumberedSampler:
    """Yields the indices of another sampler, numbered by their place in the run.

    Args:
        sampler: The host's own; its order stays as it is.
        rows_per_epoch: Rows that the host trains on in one epoch, over all ranks.
    """

    def __init__(self, sampler: Iterable[int], rows_per_epoch: int) -> None:
        self.sampler = sampler
        self.rows_per_epoch = rows_per_epoch
        self.epoch = 0

    def __iter__(self) -> Iterator[RowIndex]:
        """Number one epoch; ``epoch`` says which."""
        first = self.epoch * self.rows_per_epoch
        stop = first + self.rows_per_epoch
        new = int.__new__  # what RowIndex does, without the call: this runs for every row
        for row, index in enumerate(self.sampler, first):
            numbered = new(RowIndex, index)
            numbered.row = numbered.carries = row if row < stop else None
            yield numbered

    def __len__(self) -> int:
        """Return the length of the host's sampler."""
        return len(self.sampler)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        """Answer as the host's sampler would (``set_epoch`` and the like)."""
        if name == "sampler":  # while unpickling
            raise AttributeError(name)
        return getattr(self.sampler, name)


class OncePerRow:
    """Yields a host's batches; rows that the host repeats to fill its last batches lose their number.

    Hosts that need equal batches on every rank repeat the first rows of an epoch at its end. Within one rank row
    numbers only rise, so one that does not rise is such a repeat. It stays base text, and counts stay exact.

    Args:
        batches: The host's batch sampler, on this rank.
        drawn: Called with the row numbers of each batch; where rows differ in length, with the planned rows whose texts
            they carry too.
        skip: Batches at the start that the host draws and discards, as it does on a resume.

    Raises:
        KISError: While iterating, rows in another order than the sampler's: they would be taken for repeats.
    """

    def __init__(self, batches: Iterable[list[RowIndex]], drawn: Callable[..., None], skip: int = 0) -> None:
        self.batches = batches
        self.drawn = drawn
        self.skip = skip

    def __iter__(self) -> Iterator[list[RowIndex]]:
        """Yield the batches of one epoch."""
        last, repeated = -1, False
        for batch in self.batches:
            kept: list[RowIndex] = []
            for index in batch:
                if index.row is None or index.row <= last:
                    repeated = repeated or index.row is not None
                    kept.append(RowIndex(index, None))
                    continue
                if repeated:  # only an epoch's last rows are repeats, nothing new comes after them
                    found = f"a batch sampler that draws row {index.row} of the run after ones before and behind it"
                    expected = "one that keeps the order of its sampler"
                    raise KISError(Problem("train_dataloader", found, expected, "Put the order into the sampler."))
                last = index.row
                kept.append(index)
            if self.skip:
                self.skip -= 1
            else:
                rows = [index.row for index in kept if index.row is not None]
                if all(index.carries == index.row for index in kept):
                    self.drawn(rows)
                else:
                    self.drawn(rows, [index.carries for index in kept if index.carries is not None])
            yield kept

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.batches)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        """Answer as the host's batch sampler would."""
        if name == "batches":  # while unpickling
            raise AttributeError(name)
        return getattr(self.batches, name)


class InfusedDataset:
    """A map-style dataset whose rows are infused where the plan says so.

    Args:
        base: The host's dataset.
        example: Called with the planned row, or None for base text, and the base example; returns the infused example.
            It may have a method ``places``: planned rows of a batch -> the places of those whose example it changes.

    An index without a row number is its own row: that is right for one epoch in any order.
    """

    def __init__(self, base: Any, example: Callable[[int | None, Any], Any]) -> None:
        self.base = base
        self.example = example

    def __len__(self) -> int:
        """Return the length of the base dataset."""
        return len(self.base)

    def __getitem__(self, index: int) -> Any:
        """Return the example for one index."""
        row = index.carries if isinstance(index, RowIndex) else int(index)
        base = self.base[int(index)]
        return self.example(row, base)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return the examples of one batch; the base dataset may fetch them together.

        Most rows of a batch are base text: those to be infused are found together, and no other is looked at.
        """
        plain = [int(index) for index in indices]
        base = self.base
        examples = base.__getitems__(plain) if hasattr(base, "__getitems__") else [base[index] for index in plain]
        try:
            rows = [index.carries for index in indices]  # type: ignore[attr-defined]
        except AttributeError:  # plain indices among them
            rows = [index.carries if isinstance(index, RowIndex) else int(index) for index in indices]
        places = getattr(self.example, "places", None)
        changed = range(len(rows)) if places is None else places(rows)
        if changed:
            examples = list(examples)  # which may be the base dataset's own
            for place in changed:
                examples[place] = self.example(rows[place], examples[place])
        return examples

    def __getattr__(self, name: str) -> Any:
        """Answer as the base dataset would (``column_names`` and the like)."""
        if name == "base":  # while unpickling
            raise AttributeError(name)
        return getattr(self.base, name)
