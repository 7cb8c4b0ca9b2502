"""The guard as a plugin: notices the onset of collapse while the run goes on, and acts on it as configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kis_plugin.config.schema import GuardConfig
from kis_plugin.errors import KISError, Problem
from kis_plugin.guard.loss_limit import LossLimit
from kis_plugin.guard.paired_test import Answers, Fall, Series, compare, level_of
from kis_plugin.hook_markers import hookimpl
from kis_plugin.retention.plugin import evaluation_steps
from kis_plugin.retention.question_builder import HELD_OUT, SEEN
from kis_plugin.retention.results import Outcomes
from kis_plugin.run import log as runlog
from kis_plugin.run.context import TrainingRun

__all__ = ["ACTIONS", "Guard"]

ACTIONS: Mapping[str, Callable[[TrainingRun, GuardConfig, str], None]] = {
    "warn": lambda run, guard, why: None,
    "throttle": lambda run, guard, why: run.session.throttle(guard.throttle_to),
    "stop_infusing": lambda run, guard, why: run.session.throttle(0.0),
    "stop_training": lambda run, guard, why: run.session.stop(why),
}
"""What ``retention.guard.action`` does, beside saying so."""
_SAID = {
    "warn": "Nothing is changed: retention.guard.action is warn.",
    "throttle": "What is left of the infusion is lowered.",
    "stop_infusing": "Nothing more is infused.",
    "stop_training": "Training stops here.",
}


@dataclass(frozen=True)
class Best:
    """The evaluation that later ones are compared with.

    Attributes:
        step: When it was.
        held_out: What it answered.
        seen: Likewise.
    """

    step: int
    held_out: Answers
    seen: Answers


class Guard:
    """One run's guard. It decides on every rank from the same numbers, so all ranks act alike."""

    def __init__(self, run: TrainingRun) -> None:
        self._config = run.config.retention.guard
        self._level = level_of(self._config.alpha, len(evaluation_steps(run.config.retention.every, run.steps)))
        self._best: Best | None = None
        self._streak = 0  # evaluations in a row that showed a fall
        self._loss_limit = LossLimit(self._config.max_loss_rise, self._config.patience)
        self._done: dict[str, dict[str, Any]] = {}  # by action: at which step, and why
        self._forgot = False  # it was said

    @hookimpl
    def kis_run_start(self, run: TrainingRun, resumed: Mapping[str, Any] | None) -> None:
        """Go on from what was known when the checkpoint was written.

        Raises:
            KISError: The guard stopped the run there, and would again.
        """
        kept = (resumed or {}).get("guard")
        if self._config.action == "none" or resumed is None:
            return
        if kept is None:
            _say(run, f"the checkpoint holds nothing of the guard: it knows nothing from before step {run.start_step}")
            return
        self._streak, self._done, self._forgot = kept["streak"], dict(kept["done"]), kept["forgot"]
        self._loss_limit.restore(kept["loss"])
        if kept["best"]:
            held_out, seen = (Answers.from_state(kept["best"][name]) for name in (HELD_OUT, SEEN))
            self._best = Best(kept["best"]["step"], held_out, seen)
        stopped = self._done.get("stop_training")
        if stopped and self._config.action == "stop_training":
            found = f"a run that retention.guard stopped at step {stopped['step']}"
            hint = "What it learnt is in its checkpoint. To train on all the same set retention.guard.action: warn."
            raise KISError(Problem(f"resume at step {run.start_step}", found, "one that was to go on", hint))

    @hookimpl
    def kis_metrics(self, records: Sequence[runlog.Record]) -> None:
        """Note general losses, on rank 0."""
        for record in records:
            if isinstance(record, runlog.Loss):
                self._loss_limit.note(record)

    @hookimpl
    def kis_outcomes(self, run: TrainingRun, step: int, outcomes: Outcomes) -> None:
        """Compare with the running best; act if retention collapses or general loss is past its allowance."""
        if self._config.action == "none":
            return
        held_out, seen = Series.of(outcomes, HELD_OUT), Series.of(outcomes, SEEN)
        fall = rote = None
        if self._best is not None:
            fall, rote = compare(self._best.held_out, held_out), compare(self._best.seen, seen)
        if _diverged(outcomes):
            self._loss_limit.lost()
        verdict = self._verdict(run, fall, rote)
        acts = verdict in ("collapse", "loss") and self._config.action not in self._done
        self._record(run, step, verdict, fall, rote, acts)
        if acts:
            self._act(run, step, verdict, fall)
        elif verdict == "forgetting" and not self._forgot:
            self._forgot = True
            _say(run, f"{self._fell(fall)}, and seen retention fell too: the model forgets or diverges, no collapse")
        if len(held_out.answers) and _better(fall, held_out.answers, self._best):
            self._best, self._streak = Best(step, held_out.answers, seen.answers), 0

    @hookimpl
    def kis_state(self) -> Mapping[str, Any]:
        """Keep what decides at the next evaluation."""
        if self._config.action == "none":
            return {}
        best = self._best
        kept = best and {"step": best.step, HELD_OUT: best.held_out.state(), SEEN: best.seen.state()}
        state = {"streak": self._streak, "done": dict(self._done), "forgot": self._forgot, "best": kept}
        return {"guard": {**state, "loss": self._loss_limit.state()}}

    @hookimpl
    def kis_end_record(self) -> Mapping[str, Any]:
        """Say what was done, and when."""
        return {"guard": [{"action": action, **when} for action, when in self._done.items()]} if self._done else {}

    def _verdict(self, run: TrainingRun, fall: Fall | None, rote: Fall | None) -> str:
        """Return what the run log says of the evaluation; every rank must ask for it."""
        falls = fall is not None and self._significant(fall) and fall.part >= self._config.min_drop
        forgets = falls and rote is not None and self._significant(rote)
        self._streak = self._streak + 1 if falls and not forgets else 0
        past = self._config.max_loss_rise is not None and bool(
            run.ranks.sum(np.array([self._loss_limit.past and run.rank == 0], dtype=np.int64))[0]
        )
        if self._streak >= self._config.patience:
            return "collapse"
        if past:
            return "loss"
        return "forgetting" if forgets else "falling" if falls else "steady"

    def _significant(self, fall: Fall) -> bool:
        return fall.p_value <= self._level

    def _act(self, run: TrainingRun, step: int, verdict: str, fall: Fall | None) -> None:
        if verdict == "loss":
            why = self._loss_limit.told()
        else:
            why = self._fell(fall) + ", while seen retention did not: the onset of collapse"
        action = self._config.action
        self._done[action] = {"step": step, "verdict": verdict}
        _say(run, f"at step {step} {why}. {_SAID[action]}")
        ACTIONS[action](run, self._config, why)

    def _fell(self, fall: Fall | None) -> str:
        assert fall is not None
        assert self._best is not None
        return (
            f"held-out retention fell from {fall.before:.3f} (step {self._best.step}) to {fall.after:.3f}: {fall.lost} "
            f"facts lost, {fall.gained} gained, p = {fall.p_value:.1g}, significant from {self._level:.1g} on"
        )

    def _record(
        self, run: TrainingRun, step: int, verdict: str, fall: Fall | None, rote: Fall | None, acts: bool
    ) -> None:
        if step == 0:
            return
        record = runlog.Guard(
            step=step,
            tokens=run.tokens_at(step),
            verdict=verdict,
            action=self._config.action if acts else None,
            extra=dict(self._loss_limit.fields()),
        )
        if fall is not None and rote is not None and self._best is not None:
            seen = {"seen_lost": rote.lost, "seen_gained": rote.gained, "seen_p_value": rote.p_value}
            record = replace(
                record,
                best_step=self._best.step,
                n=fall.questions,
                lost=fall.lost,
                gained=fall.gained,
                p_value=fall.p_value,
                level=self._level,
                extra={"before": fall.before, "after": fall.after, **seen, **record.extra},
            )
        run.session.publish([record])


def _better(fall: Fall | None, now: Answers, best: Best | None) -> bool:
    """Whether an evaluation is the new best: by the questions of both, else by how many it asked."""
    if fall is None or best is None or not fall.questions:
        return True
    return fall.after > fall.before or (fall.after == fall.before and len(now) > len(best.held_out))


def _diverged(outcomes: Outcomes) -> bool:
    """Whether no question with options has log-probabilities that are numbers."""
    chosen = outcomes.chance > 0
    return bool(chosen.any()) and not np.isfinite(outcomes.margin[chosen]).any()


def _say(run: TrainingRun, line: str) -> None:
    if run.rank == 0:
        run.notify(f"kis: warning: {line}".removesuffix(".") + ".")
