"""The protocol of an infusion schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

__all__ = ["Schedule"]


@runtime_checkable
class Schedule(Protocol):
    """Says how densely each part of the window is infused, selected by ``infusion.schedule: <name>``.

    A schedule gives the shape alone; that every exposure then has exactly one row is not its business. One that is a
    dataclass takes its fields as options: ``schedule: {name: burst, bursts: 4}``. It may have an attribute
    ``in_order``; if that is true, every round tells the facts in the same order, so that the gaps between a fact's
    exposures follow the shape as the rounds do.
    """

    @property
    def name(self) -> str:
        """What ``kis.yaml`` calls it."""

    def weights(self, parts: int) -> Sequence[int]:
        """Return the weight of each of ``parts`` equal parts of the window: whole numbers, not all of them 0."""
