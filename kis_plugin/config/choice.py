"""A named alternative with options, as ``schedule: {name: burst, bursts: 4}`` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Choice"]


@dataclass(frozen=True)
class Choice:
    """One of the things that plugins registered, and its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        """Return the name, and the options if there are any."""
        given = ", ".join(f"{key}: {value}" for key, value in self.options.items())
        return f"{self.name} ({given})" if given else self.name
