"""How far general loss may rise above its running best while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kis_plugin.run.log import Loss

__all__ = ["LossLimit"]


class LossLimit:
    """Watches the first split whose loss is told of, as it is told: on rank 0 alone.

    Args:
        most: Nats above the running best that are allowed; None for any.
        patience: Measurements in a row that must be past it: a single spike passes.
    """

    def __init__(self, most: float | None, patience: int) -> None:
        self._most, self._patience = most, patience
        self._split: str | None = None
        self._best = self._last = 0.0
        self._streak = 0
        self._lost = False  # the loss is no number any more

    @property
    def past(self) -> bool:
        """Whether the loss is past its allowance, and has been for long enough."""
        return self._most is not None and self._streak >= self._patience

    def note(self, record: Loss) -> None:
        """Take one measurement."""
        if self._split is None:
            self._split, self._best = record.split, record.loss
        if record.split != self._split:
            return
        self._last, self._lost = record.loss, False
        self._best = min(self._best, record.loss)
        risen = self._most is not None and record.loss > self._best + self._most
        self._streak = self._streak + 1 if risen else 0

    def lost(self) -> None:
        """Take it that the loss is no number, which no one tells of: it is past any allowance."""
        self._lost = True
        self._streak += 1

    def fields(self) -> Mapping[str, float]:
        """Return how far the loss stands above its best, for the run log; nothing if there is no such number."""
        return {} if self._split is None or self._lost else {"loss_rise": self._last - self._best}

    def told(self) -> str:
        """Return what happened, as part of a sentence; only rank 0 knows it."""
        if self._lost:
            return "general loss is no number: the model has diverged"
        return f"general loss ({self._split}) is {self._last:.3f}, {self._last - self._best:.3f} nats above its best"

    def state(self) -> dict[str, Any]:
        """Return what a resume must find again, as JSON values."""
        return {
            "split": self._split,
            "best": self._best,
            "last": self._last,
            "streak": self._streak,
            "lost": self._lost,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state()`` gave."""
        self._split, self._best = state["split"], state["best"]
        self._last, self._streak = state["last"], state["streak"]
        self._lost = state.get("lost", False)
