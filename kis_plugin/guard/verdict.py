"""What one evaluation says about collapse, compared with the best one before."""

from __future__ import annotations

from dataclasses import dataclass

from kis_plugin.guard.paired_test import Change, Results

__all__ = ["Best", "is_better"]


@dataclass(frozen=True)
class Best:
    """The evaluation that later ones are compared with.

    Attributes:
        step: When it was.
        held_out: Its results in the held-out series.
        seen: Its results in the seen series.
    """

    step: int
    held_out: Results
    seen: Results


def is_better(change: Change | None, now: Results, best: Best | None) -> bool:
    """Return whether an evaluation is the new best: by the questions common to both, on a tie by how many it has."""
    if change is None or best is None or not change.questions:
        return True
    return change.after > change.before or (change.after == change.before and len(now) > len(best.held_out))
