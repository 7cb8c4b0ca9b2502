"""Base rows of different lengths: what is planned for a row that is too short goes to the next one that is not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.infusion.row_index import NumberedSampler, RowIndex

__all__ = ["RoomQueue", "RoomSampler"]


class RoomQueue:
    """Planned rows that wait for a base row with room, first in, first out.

    Args:
        infused: Whether anything is planned for a row of the run.
        waiting: Planned rows that wait already.
    """

    def __init__(self, infused: Callable[[int], bool], waiting: Iterable[int] = ()) -> None:
        self._infused = infused
        self.waiting = deque(waiting)

    def next(self, row: int, has_room: bool) -> int | None:
        """Return the planned row whose texts go into row ``row``, or None for base text."""
        if self._infused(row):
            self.waiting.append(row)
        return self.waiting.popleft() if has_room and self.waiting else None


class RoomSampler(NumberedSampler):
    """Numbers the indices of a sampler, and attaches to each the planned row whose texts it carries.

    Every rank goes through the whole order, so all of them agree on the queue without communication.

    Args:
        sampler: The host's own; its order stays as it is.
        rows_per_epoch: Rows that the host trains on in one epoch, over all ranks.
        queue: What waits for room.
        has_room: (dataset rows,) whether each row of the dataset can take what is planned.
    """

    def __init__(
        self, sampler: Iterable[int], rows_per_epoch: int, queue: RoomQueue, has_room: npt.NDArray[np.bool_]
    ) -> None:
        super().__init__(sampler, rows_per_epoch)
        self._queue, self._has_room = queue, has_room
        self._begun: tuple[int, list[int]] = (0, list(queue.waiting))

    def __iter__(self) -> Iterator[RowIndex]:
        """Number one epoch; ``epoch`` says which."""
        first = self.epoch * self.rows_per_epoch
        self._begun = (self.epoch, list(self._queue.waiting))
        for place, index in enumerate(self.sampler):
            if place >= self.rows_per_epoch:
                yield RowIndex(index, None)
                continue
            carried = self._queue.next(first + place, bool(self._has_room[int(index)]))
            yield RowIndex(index, first + place, carried)

    def state(self) -> Mapping[str, Any]:
        """Return what waited when the epoch began and what waits now, as JSON values."""
        epoch, begun = self._begun
        return {"epoch": epoch, "begun": begun, "now": list(self._queue.waiting)}

    @staticmethod
    def waiting_at(epoch: int, state: Mapping[str, Any] | None) -> list[int]:
        """Return what waited when ``epoch`` began, from the state in a checkpoint."""
        if state is None:
            return []
        return list(state["begun"] if state["epoch"] == epoch else state["now"])
