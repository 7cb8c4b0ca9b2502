"""Retention as the Trainer's ``metric_for_best_model``: the best checkpoint, early stopping, a rate that follows it."""

from __future__ import annotations

import math
from collections.abc import MutableMapping

from transformers import EarlyStoppingCallback, IntervalStrategy, Trainer, TrainerCallback, TrainingArguments

from kis_plugin.errors import KISError, Problem
from kis_plugin.hook_markers import hookimpl
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.host_metrics import CHANCE, host_metrics
from kis_plugin.run.log import Retention

__all__ = ["BestMetric", "call_before_early_stopping", "evaluations"]

_WHERE = "metric_for_best_model"


class BestMetric:
    """Run plugin that puts one retention series into the metrics of the Trainer's evaluations.

    The Trainer looks for the metric there, on every rank, as does ``EarlyStoppingCallback``. No other series is put
    in: what else stands there is the objective of a hyperparameter search.

    Args:
        name: The series by its name in the host's log, ``retention/held_out``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._measured: tuple[int, float] | None = None  # step and accuracy of the last evaluation

    @classmethod
    def of(cls, args: TrainingArguments) -> BestMetric | None:
        """Return one for the metric that the arguments name; None if that is no retention series."""
        name = (args.metric_for_best_model or "").removeprefix("eval_")
        return cls(name) if name.startswith("retention/") else None

    @hookimpl(trylast=True)
    def kis_retention_records(self, run: TrainingRun, step: int, records: list[Retention]) -> None:
        """Keep the accuracy of the series.

        Raises:
            KISError: There is no such series.
        """
        found = {name: value for name, value in host_metrics(records).items() if name != CHANCE}
        if self._name not in found:
            expected = f"one of {', '.join(found)}" if found else "a series, and this run has none"
            raise KISError(Problem(_WHERE, self._name, expected, "retention.probes.kinds names the series of a run."))
        self._measured = step, found[self._name]

    def put_into(self, metrics: MutableMapping[str, float], step: int, diverged: bool) -> None:
        """Add the series to the metrics of the Trainer's evaluation after ``step``; NaN of a model that diverged.

        An evaluation that the user's code starts at another step gets none: nothing was measured there.
        """
        if diverged:
            metrics[f"eval_{self._name}"] = math.nan
        elif self._measured is not None and self._measured[0] == step:
            metrics[f"eval_{self._name}"] = self._measured[1]


def evaluations(args: TrainingArguments, steps: int, steps_per_epoch: int | None) -> frozenset[int]:
    """Return the steps after which the Trainer evaluates, as far as they are known before the first.

    Args:
        args: Of the Trainer.
        steps: Of the whole run.
        steps_per_epoch: None if the data has no length.

    Raises:
        KISError: It evaluates after each epoch of data without a length.
    """
    strategy = IntervalStrategy(args.eval_strategy).value
    if strategy == "epoch" and steps_per_epoch is None:
        found = f"{args.metric_for_best_model} with eval_strategy='epoch', and data without a length"
        hint = "Retention is measured where the Trainer evaluates, which has to be known beforehand."
        raise KISError(Problem(_WHERE, found, "eval_strategy='steps'", hint))
    every = {"steps": round(args.eval_steps or 0), "epoch": steps_per_epoch or 0}.get(strategy, 0)
    return frozenset(range(every, steps + 1, every)) if every else frozenset()


def call_before_early_stopping(trainer: Trainer, callback: TrainerCallback) -> None:
    """Move a callback before those that read what it puts into the metrics."""
    callbacks: list[TrainerCallback] = trainer.callback_handler.callbacks
    place = next((n for n, one in enumerate(callbacks) if isinstance(one, EarlyStoppingCallback)), len(callbacks))
    if place < callbacks.index(callback):
        callbacks.remove(callback)
        callbacks.insert(place, callback)
