"""Compares the plan of a resumed run with the plan in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.context import TrainingRun

__all__ = ["check_plan"]

_HINT = "Give the run what it began with; on_mismatch: warn goes on all the same, with other counts."


def check_plan(run: TrainingRun, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in what the plan of a resumed run differs from that of its checkpoint, by name.

    Args:
        run: The resumed run; ``on_mismatch`` in its configuration decides what a difference means.
        before: The plan's fingerprint in the checkpoint.
        now: The fingerprint of the plan as made now.

    Raises:
        KISError: A difference, under ``on_mismatch: error``; each one is named.
    """
    differing = [key for key in {**now, **before} if now.get(key) != before.get(key)]
    problems = [
        Problem(
            f"resume at step {run.start_step}: {key}",
            f"{now.get(key)}",
            f"{before.get(key)} as in the checkpoint",
            _HINT if key == differing[-1] else "",
        )
        for key in differing
    ]
    if problems and run.config.on_mismatch == "error":
        raise KISError(problems)
    if problems and run.rank == 0:
        lines = "\n".join(f"  {problem}" for problem in problems)
        run.notify(
            "kis: warning: on_mismatch is warn, and this run goes on with another plan than it began with:\n"
            f"{lines}\nFacts are shown as this plan says from row {run.rows_at(run.start_step):,} on; what the whole "
            "run shows is no longer the requested frequency. Do not predict from it."
        )
    return differing
