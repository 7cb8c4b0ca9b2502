"""Counts what the model was really shown, from the token ids it was given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kis_plugin.plan import InfusionPlan
from kis_plugin.seeded import IntArray

__all__ = ["Tally"]

_KEY = 8  # tokens that a row is first told apart by


class Tally:
    """Exposures per item, counted when a row with the planned tokens reaches the model, and only then.

    Rows are announced when the loader asks for them. The loader may fetch ahead, skip, or never use what it fetched:
    nothing counts until a batch with the very same tokens has gone through the model.

    Args:
        plan: Says what tokens a row should begin with.
    """

    def __init__(self, plan: InfusionPlan) -> None:
        self._plan = plan
        self._expected: dict[bytes, list[tuple[bytes, IntArray]]] = defaultdict(list)
        self._key = min(_KEY, *(int(items.lengths.min(initial=_KEY)) for items in plan.variants))
        self.exposures: IntArray = np.zeros(len(plan), dtype=np.int64)

    def expect(self, rows: Sequence[int]) -> None:
        """Note rows that the loader is about to fetch."""
        for row in rows:
            told = self._plan.told_in(row)
            if told is not None:
                head = self._plan.tokens(*told).tobytes()
                self._expected[head[: 4 * self._key]].append((head, told[0]))

    def see(self, input_ids: npt.NDArray[np.int64]) -> None:
        """Count the infused rows of a batch, (rows, T)."""
        for ids in input_ids.astype(np.int32):
            data = ids.tobytes()
            waiting = self._expected.get(data[: 4 * self._key], [])
            for at, (head, items) in enumerate(waiting):
                if data.startswith(head):
                    self.exposures[items] += 1
                    del waiting[at]
                    break
            if not waiting:
                self._expected.pop(data[: 4 * self._key], None)
