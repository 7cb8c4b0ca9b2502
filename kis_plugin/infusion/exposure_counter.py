"""Counts what the model was really shown, from the token ids it was given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.infusion.plan import InfusionPlan

__all__ = ["ExposureCounter"]

_KEY = 8  # tokens that a text is first told apart by
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

Waiting = list[tuple[bytes, npt.NDArray[np.integer]]]


class ExposureCounter:
    """Exposures per item, counted when planned tokens reach the model in a row, and only then.

    Rows are announced when the loader asks for them. The loader may fetch ahead, skip, or never use what it fetched:
    nothing counts until a batch with the very same tokens has gone through the model.

    Args:
        plan: Says what tokens a row should hold.
    """

    def __init__(self, plan: InfusionPlan) -> None:
        self._plan = plan
        self._waiting: dict[int, Waiting] = defaultdict(list)  # by the hash of their first tokens
        self._key = min(_KEY, int(np.diff(plan.texts.offsets).min(initial=_KEY)))
        self.exposures: IntArray = np.zeros(len(plan), dtype=np.int64)

    def expect(self, rows: Sequence[int]) -> None:
        """Note rows that the loader is about to fetch."""
        for row in rows:
            texts = self._plan.texts_in(row)
            if texts is None:
                continue
            for part in np.split(texts, len(texts)) if self._plan.placement.anywhere else [texts]:
                tokens = self._plan.tokens(part)
                key = int(_hashed(tokens[None, : self._key].astype(np.uint64), self._key)[0, 0])
                self._waiting[key].append((tokens.tobytes(), part % len(self._plan)))

    def see(self, input_ids: npt.NDArray[np.int64]) -> None:
        """Count the infused texts of a batch, (rows, T)."""
        if not self._waiting or input_ids.shape[1] < self._key:
            return
        looked_at = input_ids if self._plan.placement.anywhere else input_ids[:, : self._key]
        keys = _hashed(looked_at.astype(np.uint64), self._key)  # (rows, places)
        found = np.isin(keys, np.fromiter(self._waiting, dtype=np.uint64, count=len(self._waiting)))
        counted_to = [0] * len(input_ids)  # in each row: a text is not looked for inside another
        for row, place in np.argwhere(found).tolist():
            if place >= counted_to[row]:
                shown = input_ids[row, place:].astype(np.int32).tobytes()
                counted_to[row] = place + self._count(int(keys[row, place]), shown)

    def _count(self, key: int, shown: bytes) -> int:
        """Count the text that ``shown`` begins with, and return its tokens; 0 if none is waited for."""
        length = 0
        waiting = self._waiting.get(key, [])
        # Of two that fit, one begins with the other: the longer one is meant.
        fitting = [at for at, (tokens, _) in enumerate(waiting) if shown.startswith(tokens)]
        if fitting:
            tokens, items = waiting.pop(max(fitting, key=lambda at: (len(waiting[at][0]), -at)))
            self.exposures[items] += 1
            length = len(tokens) // 4
        if not waiting:
            self._waiting.pop(key, None)
        return length


def _hashed(ids: npt.NDArray[np.uint64], length: int) -> npt.NDArray[np.uint64]:
    """Return a hash of every ``length`` tokens that stand together, (rows, T) -> (rows, T - length + 1)."""
    places = ids.shape[1] - length + 1
    keys = np.zeros((len(ids), places), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for at in range(length):
            keys = (keys + ids[:, at : at + places] + np.uint64(1)) * _FACTOR
    return keys
