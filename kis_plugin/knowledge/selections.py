"""Which facts or passages are worth their tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.facts import Fact, Passage

__all__ = ["Everything"]


class Everything:
    """All of them."""

    name = "all"

    def select(self, entries: Sequence[Fact] | Sequence[Passage], seed: int) -> IntArray:
        """Return every place."""
        return np.arange(len(entries), dtype=np.int64)
