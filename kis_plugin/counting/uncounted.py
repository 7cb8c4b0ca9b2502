"""The selection of facts that the base text hardly states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from kis_plugin.counting.counts_file import read_counts
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.facts import Fact, Passage

__all__ = ["Uncounted"]


@dataclass(frozen=True)
class Uncounted:
    """Selects the facts that fewer than ``below`` windows of the base text state; passages are all selected."""

    counts: Path | None = None
    """A file written by ``kis count``."""
    below: int = 1
    """Windows of the base text from which a fact is left to it: with 1, facts that it never states are infused."""
    name: str = "uncounted"

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: ``below`` is no whole number from 1.
        """
        if type(self.below) is not int or self.below < 1:
            raise ValueError("a whole number from 1")

    def select(self, entries: Sequence[Fact] | Sequence[Passage], seed: int) -> IntArray:
        """Return the indices of facts with fewer than ``below`` windows that hold subject and object.

        Raises:
            KISError: No file of counts, facts that were not counted as they are now, or no fact is left.
        """
        where = "infusion.selection.counts"
        if self.counts is None:
            hint = "kis count kis.yaml TEXT -o counts.jsonl makes it."
            raise KISError(Problem(where, "nothing", "a file of counts", hint))
        if not len(entries) or isinstance(entries[0], Passage):
            return np.arange(len(entries), dtype=np.int64)
        both = read_counts(Path(self.counts)).of_all(cast("Sequence[Fact]", entries), where)
        chosen = np.flatnonzero(both < self.below)
        if not len(chosen):
            found = f"{self.below}, and all {len(entries):,} facts stand in {int(both.min())} windows or more"
            raise KISError(Problem("infusion.selection.below", found, "a number that some fact stays below"))
        return chosen.astype(np.int64)
