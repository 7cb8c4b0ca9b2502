"""How far a prediction is, for a terminal."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Watch", "unwatched"]

Watch = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much it is."""


def unwatched(what: str, done: int, of: int) -> None:
    """Show nothing."""
