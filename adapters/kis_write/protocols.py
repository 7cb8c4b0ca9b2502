"""What a file format is to ``kis write``: where rows stand in its files, and how its host reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.run.manifest import Manifest

__all__ = ["Format", "HostSettings", "Layout", "Rows"]

Rows = npt.NDArray[np.int32]
"""(rows, row tokens) in the order of the file."""


@dataclass(frozen=True)
class HostSettings:
    """How the host will read what is written.

    Attributes:
        sequence_length: Tokens a row, T.
        rows: Rows of the run.
        seed: The host's, by which it shuffles; None: not known.
        batch: Rows of one global batch; None: not known.
        vocabulary: One more than the greatest token id.
        eos: The token between documents.
    """

    sequence_length: int
    rows: int
    seed: int | None
    batch: int | None
    vocabulary: int
    eos: int

    def need_whole_batches(self, why: str) -> None:
        """Refuse rows that leave a partial batch.

        Args:
            why: What the host does with them.

        Raises:
            KISError: The batch is not known, or does not divide the rows.
        """
        if self.batch is None:
            raise KISError(Problem("--batch", "nothing", "the rows of one global batch", why))
        if left := self.rows % self.batch:
            below = self.rows - left
            found = f"{self.rows:,} rows, which leave {left:,} after the last batch of {self.batch:,}"
            expected = " or ".join(f"{rows:,}" for rows in (below, below + self.batch) if rows)
            raise KISError(Problem("--rows", found, expected, why))

    @classmethod
    def of(cls, manifest: Manifest) -> HostSettings:
        """Return those that a data set was written with."""
        return cls(
            sequence_length=manifest.sequence_length,
            rows=manifest.written_rows,
            seed=manifest.host_seed,
            batch=manifest.batch,
            vocabulary=manifest.vocabulary,
            eos=manifest.eos,
        )


@dataclass(frozen=True)
class Layout:
    """Where the rows of the run stand in the files.

    Attributes:
        rows_of: (file rows,) the row of the run at each place of the files; None: in their order.
        order: ``exact``: the host trains on the rows in the order of the plan. ``chance``: in an order of its own, so
            schedules and windows do not hold.
        reason: Why the order is left to chance; empty where it is exact.
    """

    rows_of: IntArray | None
    order: str
    reason: str = ""


class Format(Protocol):
    """A file format. A plugin registers others with ``kis_register_formats``."""

    name: str
    """As ``--format`` names it."""
    host: str
    """The framework that reads it."""
    with_target: bool
    """Whether the host cuts rows of T + 1 tokens without overlap, the last one a target only."""

    def layout(self, host: HostSettings) -> Layout:
        """Return where rows stand.

        Raises:
            KISError: The host would lose or repeat rows.
        """

    def write(self, folder: Path, rows: Rows, shard: int, first: int, host: HostSettings) -> None:
        """Write one shard: rows of the files from ``first`` on. Shards come in any order, from any process."""

    def finish(self, folder: Path, shards: int, host: HostSettings) -> Sequence[Path]:
        """Write what follows all shards, such as an index, and return the files of the data set, sorted."""

    def flags(self, folder: Path, host: HostSettings) -> Mapping[str, str]:
        """Return what to paste into the host's command or configuration, by name."""

    def read(self, folder: Path, host: HostSettings) -> npt.NDArray[np.integer]:
        """Return the tokens of the files as rows, (file rows, row tokens): for an audit without the host."""
