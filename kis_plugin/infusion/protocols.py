"""The protocols of infusion schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

__all__ = ["OrderedSchedule", "Schedule"]


@runtime_checkable
class Schedule(Protocol):
    """Says how densely each part of the window is infused, selected by ``infusion.schedule: <name>``.

    A schedule gives the shape alone; the plan sees to it that every exposure has exactly one row. A schedule that is a
    dataclass takes its fields as options: ``schedule: {name: burst, bursts: 4}``.
    """

    @property
    def name(self) -> str:
        """What ``kis.yaml`` calls it."""

    def weights(self, parts: int) -> Sequence[int]:
        """Return the weight of each of ``parts`` equal parts of the window: whole numbers, not all of them 0."""


@runtime_checkable
class OrderedSchedule(Schedule, Protocol):
    """A schedule that says in which order the rounds show the facts."""

    @property
    def in_order(self) -> bool:
        """Whether every round shows the facts in the same order.

        The gaps between a fact's exposures then follow the shape as the rounds do. Otherwise each round has an order
        of its own.
        """
