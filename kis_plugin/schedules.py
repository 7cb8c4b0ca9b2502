"""Where infused rows lie in the run: pure maps between slots and rows, nothing stored."""

from __future__ import annotations

from kis_plugin.seeded import mix

__all__ = ["Uniform"]


class Uniform:
    """Evenly over the window with seeded jitter: each slot lies somewhere in a stretch of its own.

    Slot j's stretch is ``[j * rows // slots, (j + 1) * rows // slots)``. The stretches tile the window, so every slot
    has exactly one row and, however dense the infusion, local frequency never strays by more than one row.
    """

    name = "uniform"

    def row_of(self, slot: int, slots: int, rows: int, seed: int) -> int:
        """Return the row of ``slot``."""
        first = slot * rows // slots
        length = (slot + 1) * rows // slots - first
        return first + mix(seed, slot) % length

    def slot_of(self, row: int, slots: int, rows: int, seed: int) -> int | None:
        """Return the slot that ``row`` carries, or None."""
        if slots == 0:
            return None
        slot = ((row + 1) * slots - 1) // rows  # the last whose stretch starts at or before row
        return slot if self.row_of(slot, slots, rows, seed) == row else None
