"""Faults that were injected and survived, by kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Result"]


@dataclass
class Result:
    """What became of faults.

    Attributes:
        injected: Faults by kind.
        survived: Of these, the ones after which all was right.
        failures: What was wrong, with what repeats it.
        notes: What is worth saying of it, and how often.
    """

    injected: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, other: Result) -> None:
        """Add the faults of another part."""
        self.injected += other.injected
        self.survived += other.survived
        self.failures += other.failures
        self.notes += other.notes
