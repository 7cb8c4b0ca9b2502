"""The contract of a mixer: mix a rare source of facts into base rows, as often as the workload says."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Row = dict[str, Any]
Batch = Sequence[Sequence[int]]
"""For each row of a batch the facts that it shows; empty for a row of base text."""


@dataclass(frozen=True)
class Workload:
    """How many rows, and which facts how often.

    Attributes:
        rows: Rows that the run trains on, over all ranks.
        facts: Different facts.
        frequency: Exposures that each of them is to have in the run.
        held: Rows of the base that are made, at most: for timing, a run need not be read to its end.
        batch: Rows a batch, over all ranks.
        sequence_length: Tokens a row.
    """

    name: str
    rows: int
    facts: int
    frequency: float
    batch: int = 32
    sequence_length: int = 16
    held: int = 1 << 16

    @property
    def nominal(self) -> int:
        """Exposures of all facts together; a peer shows one fact a row, so they are its rows of facts."""
        return round(self.facts * self.frequency)

    @property
    def copies(self) -> int:
        """How often a source of facts holds each of them, where a library wants it stored so."""
        return max(round(self.frequency), 1)

    @property
    def weight(self) -> float:
        """Probability of a fact, for a mixer that takes probabilities."""
        return self.nominal / self.rows

    def base_rows(self, count: int) -> Iterator[Row]:
        """Yield rows of base text: ids count up from 0."""
        return (self.row(number) for number in range(min(count, self.held)))

    def fact_rows(self, copies: int) -> Iterator[Row]:
        """Yield rows that show a fact, all facts in turn: fact f has the id ``-1 - f``."""
        return (self.row(-1 - number % self.facts) for number in range(copies * self.facts))

    def row(self, number: int) -> Row:
        """Return one row as every peer reads it."""
        return {"id": number, "input_ids": np.full(self.sequence_length, abs(number) % 30_000, dtype=np.int32)}


@dataclass(frozen=True)
class Job:
    """One rank of one run.

    Attributes:
        folder: Where ``prepare`` wrote.
        state: What ``Loader.state`` gave, to go on from there; None to begin.
    """

    workload: Workload
    folder: Path
    seed: int = 0
    workers: int = 0
    rank: int = 0
    world: int = 1
    state: Any = None

    @property
    def batch(self) -> int:
        """Rows a batch on this rank: the batch over all ranks stays the same at every world size."""
        return self.workload.batch // self.world

    @property
    def steps(self) -> int:
        """Batches of the whole run."""
        return self.workload.rows // self.workload.batch


class Loader(Protocol):
    """A loader that may be stopped after any batch."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of this rank."""

    def state(self) -> Any:
        """Return what a checkpoint keeps."""


class Mixer(Protocol):
    """One library, used as its documentation says.

    Attributes:
        name: What the tables call it.
        distribution: What has to be installed, as the package index names it.
        modules: What has to be importable.
        note: How it is used here.
    """

    name: str
    distribution: str
    modules: tuple[str, ...]
    note: str

    def prepare(self, workload: Workload, folder: Path) -> None:
        """Write what the runs read, once, if the library reads from disk."""

    def loader(self, job: Job) -> Loader:
        """Return the training loader of one rank."""

    def mixed(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Return the mixed rows, one at a time, without a loader around them."""

    def plain(self, workload: Workload, folder: Path) -> Iterable[Any]:
        """Return the rows of the base alone, read in the same way."""


def missing(mixer: Mixer) -> list[str]:
    """Return the modules that are not installed."""
    return [name for name in mixer.modules if importlib.util.find_spec(name.split(".")[0]) is None]


def version(mixer: Mixer) -> str:
    """Return the installed version; KIS may run from a checkout."""
    try:
        return importlib.metadata.version(mixer.distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed as a distribution"


def facts_in(ids: Any) -> Batch:
    """Return the facts of each row of a peer's batch, from its ids."""
    return [(-1 - number,) if number < 0 else () for number in np.asarray(ids).tolist()]
