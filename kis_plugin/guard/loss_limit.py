"""How far general loss may rise above its running best while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kis_plugin.run.log import Loss

__all__ = ["LossLimit"]


class LossLimit:
    """Watches the first split whose loss is reported, as it is reported: on rank 0 alone.

    Args:
        max_rise: Nats above the running best that are allowed; None for any.
        patience: Measurements in a row that must exceed it: a single spike is tolerated.
    """

    def __init__(self, max_rise: float | None, patience: int) -> None:
        self._max_rise, self._patience = max_rise, patience
        self._split: str | None = None
        self._best = self._last = 0.0
        self._streak = 0

    @property
    def exceeded(self) -> bool:
        """Whether the loss is above the limit, and has been for ``patience`` measurements."""
        return self._max_rise is not None and self._streak >= self._patience

    def note(self, record: Loss) -> None:
        """Take one measurement."""
        if self._split is None:
            self._split, self._best = record.split, record.loss
        if record.split != self._split:
            return
        self._last = record.loss
        self._best = min(self._best, record.loss)
        risen = self._max_rise is not None and record.loss > self._best + self._max_rise
        self._streak = self._streak + 1 if risen else 0

    def fields(self) -> Mapping[str, float]:
        """Return how far the loss is above its best, for the run log; nothing where there is no such number."""
        return {} if self._split is None else {"loss_rise": self._last - self._best}

    def reason(self) -> str:
        """Return what happened, as part of a sentence; only rank 0 knows it."""
        return f"general loss ({self._split}) is {self._last:.3f}, {self._last - self._best:.3f} nats above its best"

    def state(self) -> dict[str, Any]:
        """Return what a resume must find again, as JSON values."""
        return {
            "split": self._split,
            "best": self._best,
            "last": self._last,
            "streak": self._streak,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what ``state()`` gave."""
        self._split, self._best = state["split"], state["best"]
        self._last, self._streak = state["last"], state["streak"]
