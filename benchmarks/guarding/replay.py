"""Verdicts of the guard on a recorded run, with other settings: replayed through the class that guards runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from benchmarks.guarding.trace import Trace
from benchmarks.guarding.witness import WITNESS
from kis_plugin.config.schema import Config, GuardConfig, RetentionConfig
from kis_plugin.guard.loss_limit import LossLimit
from kis_plugin.guard.plugin import Guard
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.log import Loss, Record

__all__ = ["PATIENCE", "RISE", "SETTINGS", "alarm_of", "loss_alarm_of", "verdicts_of"]

SETTINGS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "default": {},
        "patience 1": {"patience": 1},
        "drop 0": {"min_drop": 0.0},
        "patience 1, drop 0": {"patience": 1, "min_drop": 0.0},
    }
)
"""Settings of ``retention.guard`` that all runs are looked at with."""
RISE = 0.3
"""Nats that general loss may rise: ``max_loss_rise``."""
PATIENCE = 2
"""As by default."""


def verdicts_of(trace: Trace, settings: Mapping[str, float]) -> list[tuple[int, str]]:
    """Return the steps and verdicts of a guard with such settings."""
    records: list[Record] = []
    run = _run(trace, settings, records)
    guard, losses = Guard(run), _losses(trace)
    for step, outcomes in trace.outcomes():
        guard.kis_metrics([loss for loss in losses if loss.step == step])
        guard.kis_outcomes(run, step, outcomes)
    return [(record.step, record.verdict) for record in records if record.type == "guard"]


def alarm_of(trace: Trace, settings: Mapping[str, float]) -> int | None:
    """Return the step at which the retention test first says collapse; None if it never does."""
    return next((step for step, verdict in verdicts_of(trace, settings) if verdict == "collapse"), None)


def loss_alarm_of(trace: Trace, rise: float, patience: int) -> int | None:
    """Return the step at which general loss is first past its allowance, whatever retention does."""
    loss_limit = LossLimit(rise, patience)
    for loss in _losses(trace):
        loss_limit.note(loss)
        if loss_limit.exceeded:
            return loss.step
    return None


def _losses(trace: Trace) -> list[Loss]:
    """Return the losses that the guard received."""
    return [Loss(step=step, tokens=0, split=split, loss=loss) for step, split, loss in trace.losses if split != WITNESS]


def _run(trace: Trace, settings: Mapping[str, float], records: list[Record]) -> TrainingRun:
    """Return as much of the run as the guard looks at."""
    retention = RetentionConfig(every=trace.every, guard=GuardConfig(**settings))
    return TrainingRun(
        config=Config(Path("facts.jsonl"), retention=retention),
        tokenizer=cast("Any", None),
        model=cast("Any", None),
        framework="replay",
        run_id=f"{trace.scenario}-{trace.seed}",
        folder=Path(),
        params=int(trace.run["params"]),
        params_non_embedding=0,
        rows=trace.steps,
        sequence_length=1,
        steps=trace.steps,
        notify=lambda line: None,
        session=cast("Any", _Listening(records)),
    )


class _Listening:
    """A session that keeps what is published and lets the run go on as it does."""

    def __init__(self, records: list[Record]) -> None:
        self.publish = records.extend
        self.diverged = None

    def throttle(self, keep: float) -> None:
        """Infuse as planned."""

    def stop(self, reason: str) -> None:
        """Go on."""
