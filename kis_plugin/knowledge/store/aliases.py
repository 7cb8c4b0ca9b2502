"""Aliases of facts' objects in separate columns, so that only facts with aliases take space."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.facts import Fact

__all__ = ["MappedAliases", "alias_columns"]


def alias_columns(facts: Sequence[Fact], first: int, end: int) -> dict[str, npt.NDArray[Any]]:
    """Return the columns for the aliases of some facts.

    Args:
        facts: Consecutive facts.
        first: Index of the first of them among all facts.
        end: Bytes of ``alias_text`` written before.

    Returns:
        ``aliased``: indices of the facts with aliases; ``alias_ends``: where each list ends in ``alias_text``;
        ``alias_text``: the lists as JSON in UTF-8.
    """
    aliased = [number for number, fact in enumerate(facts) if fact.aliases]
    texts = [json.dumps(facts[number].aliases, ensure_ascii=False).encode() for number in aliased]
    return {
        "aliased": first + np.array(aliased, dtype=np.int64),
        "alias_ends": end + np.cumsum([len(text) for text in texts], dtype=np.int64),
        "alias_text": np.frombuffer(b"".join(texts), dtype=np.uint8),
    }


class MappedAliases:
    """Memory-mapped aliases of facts.

    Args:
        arrays: The columns of ``alias_columns``, each name prefixed by ``fact_``.
    """

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self._aliased, self._ends, self._text = (arrays[f"fact_{name}"] for name in _COLUMNS)

    def among(self, places: IntArray) -> list[tuple[int, tuple[str, ...]]]:
        """Return (index into ``places``, aliases) of those facts at ``places`` that have any."""
        if not len(self._aliased):
            return []
        near = np.minimum(np.searchsorted(self._aliased, places), len(self._aliased) - 1)
        hits = np.flatnonzero(self._aliased[near] == places)
        return [(hit, self._row(row)) for hit, row in zip(hits.tolist(), near[hits].tolist(), strict=True)]

    def of(self, place: int) -> tuple[str, ...]:
        """Return the aliases of one fact."""
        found = self.among(np.array([place]))
        return found[0][1] if found else ()

    def _row(self, row: int) -> tuple[str, ...]:
        text = self._text[self._ends.item(row - 1) if row else 0 : self._ends.item(row)].tobytes()
        return tuple(json.loads(text))


_COLUMNS = ("aliased", "alias_ends", "alias_text")
