"""What the guard does when retention collapses, beside warning the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kis_plugin.config.schema import GuardConfig
from kis_plugin.run.context import TrainingRun

__all__ = ["ACTIONS", "STOP_TRAINING", "Action"]

STOP_TRAINING = "stop_training"


@dataclass(frozen=True)
class Action:
    """One value of ``retention.guard.action``.

    Attributes:
        notice: The sentence that the user reads about it.
        act: Does it, given the run, its configuration and the reason.
    """

    notice: str
    act: Callable[[TrainingRun, GuardConfig, str], None]


def _throttle(run: TrainingRun, guard: GuardConfig, why: str) -> None:
    run.session.throttle(guard.throttle_to)


ACTIONS = {
    "warn": Action("Nothing is changed: retention.guard.action is warn.", lambda run, guard, why: None),
    "throttle": Action(
        "The rest of the infusion is reduced.", lambda run, guard, why: run.session.throttle(guard.throttle_to)
    ),
    "stop_infusing": Action("Nothing more is infused.", lambda run, guard, why: run.session.throttle(0.0)),
    STOP_TRAINING: Action("Training stops here.", lambda run, guard, why: run.session.stop(why)),
}
