"""After which optimizer steps a run is evaluated."""

from __future__ import annotations

from kis_plugin.run.context import TrainingRun

__all__ = ["evaluation_steps", "evaluation_steps_of"]


def evaluation_steps_of(run: TrainingRun, start_step: int = 0) -> frozenset[int]:
    """Return the steps after which a run is evaluated: by ``retention.every``, and where its host needs it."""
    regular = evaluation_steps(run.config.retention.every, run.steps, start_step)
    return regular | {step for step in run.evaluated_at if start_step < step <= run.steps}


def evaluation_steps(every: float, steps: int, start_step: int = 0) -> frozenset[int]:
    """Return the steps after which to evaluate: at the start, at the end and in between.

    Args:
        every: A fraction of the run below 1, or a number of steps.
        steps: Optimizer steps of the run.
        start_step: Steps done before a resume; those were evaluated then.
    """
    if every < 1:
        points = {round(part * every * steps) for part in range(int(1 / every) + 1)}
    else:
        points = set(range(0, steps, int(every)))
    return frozenset(point for point in points | {steps} if start_step < point <= steps or point == start_step == 0)
