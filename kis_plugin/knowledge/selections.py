"""The selection that infuses every fact and passage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.facts import Fact, Passage

__all__ = ["Everything"]


class Everything:
    """Selects everything."""

    name = "all"

    def select(self, entries: Sequence[Fact] | Sequence[Passage], seed: int) -> IntArray:
        """Return every index."""
        return np.arange(len(entries), dtype=np.int64)
