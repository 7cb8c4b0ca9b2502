"""How far general loss may rise above its running best while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kis_plugin.run.log import GENERAL, Loss, is_split

__all__ = ["LossLimit"]


class LossLimit:
    """Watches the loss of the general split, as it is reported: on rank 0 alone.

    Args:
        max_rise: Nats above the running best that are allowed; None for any.
        patience: Measurements in a row that must exceed it: a single spike is tolerated.
        named: The general split; None for the only one that is reported.
    """

    def __init__(self, max_rise: float | None, patience: int, named: str | None = None) -> None:
        self._max_rise, self._patience, self._named = max_rise, patience, named
        self._reported: list[str] = []  # all splits, in order
        self._split: str | None = None
        self._best = self._last = 0.0
        self._streak = 0

    @property
    def exceeded(self) -> bool:
        """Whether the loss is above the limit, and has been for ``patience`` measurements."""
        return self._max_rise is not None and self._streak >= self._patience

    @property
    def problem(self) -> str:
        """Why it is unclear which split to watch, where that decides anything; empty where it is clear."""
        if self._max_rise is None or self._reported in ([], [GENERAL]):
            return ""
        if self._named is None:
            return f"losses of {', '.join(self._reported)}" if len(self._reported) > 1 else ""
        return "" if self._split else f"{self._named}, and losses of {', '.join(self._reported)}"

    def note(self, record: Loss) -> None:
        """Take one measurement."""
        if record.split not in self._reported:
            self._reported.append(record.split)
        if self._named is not None and not is_split(record.split, self._named):
            return
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
            "reported": self._reported,
            "best": self._best,
            "last": self._last,
            "streak": self._streak,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what ``state()`` gave."""
        self._split, self._best = state["split"], state["best"]
        self._reported = list(state["reported"])
        self._last, self._streak = state["last"], state["streak"]
