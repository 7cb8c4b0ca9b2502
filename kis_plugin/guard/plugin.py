"""The guard as a run plugin: detects the onset of collapse during the run, and acts on it as configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kis_plugin.errors import KISError, Problem
from kis_plugin.guard.actions import ACTIONS, STOP_TRAINING
from kis_plugin.guard.loss_limit import LossLimit
from kis_plugin.guard.paired_test import Change, Results, SeriesResults, compare, pairwise_level
from kis_plugin.guard.verdict import Best, is_better
from kis_plugin.hook_markers import hookimpl
from kis_plugin.retention.evaluation_steps import evaluation_steps_of
from kis_plugin.retention.results import Outcomes
from kis_plugin.retention.series import HELD_OUT, SEEN
from kis_plugin.run import log as runlog
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.log import GENERAL

__all__ = ["Guard"]


class Guard:
    """One run's guard. It decides on every rank from the same numbers, so all ranks act alike."""

    def __init__(self, run: TrainingRun) -> None:
        self._config = run.config.retention.guard
        evaluations = len(evaluation_steps_of(run))
        self._level = pairwise_level(self._config.alpha, evaluations)
        self._best: Best | None = None
        self._streak = 0  # evaluations in a row that showed a fall
        split = run.config.retention.general_split or (GENERAL if run.config.retention.general_text else None)
        self._loss_limit = LossLimit(self._config.max_loss_rise, self._config.patience, split)
        self._done: dict[str, dict[str, Any]] = {}  # by action: at which step, and why
        self._warned_of_forgetting = False

    @hookimpl
    def kis_run_start(self, run: TrainingRun, resumed: Mapping[str, Any] | None) -> None:
        """Continue from what was known when the checkpoint was written.

        Raises:
            KISError: The guard stopped the run there, and would again.
        """
        kept = (resumed or {}).get("guard")
        if self._config.action == "none" or resumed is None:
            return
        if kept is None:
            before = f"evaluations before step {run.start_step}"
            _warn(run, f"the checkpoint has no state of the guard: it does not know the {before}")
            return
        self._streak, self._done = kept["streak"], dict(kept["done"])
        self._warned_of_forgetting = kept["forgot"]
        self._loss_limit.restore(kept["loss"])
        if kept["best"]:
            held_out, seen = (Results.from_state(kept["best"][name]) for name in (HELD_OUT, SEEN))
            self._best = Best(kept["best"]["step"], held_out, seen)
        stopped = self._done.get(STOP_TRAINING)
        if stopped and self._config.action == STOP_TRAINING:
            found = f"a run that retention.guard stopped at step {stopped['step']}"
            hint = "What it learnt is in its checkpoint. To continue training set retention.guard.action: warn."
            raise KISError(Problem(f"resume at step {run.start_step}", found, "one that was to continue", hint))

    @hookimpl
    def kis_metrics(self, records: Sequence[runlog.Record]) -> None:
        """Note general losses, on rank 0."""
        for record in records:
            if isinstance(record, runlog.Loss):
                self._loss_limit.note(record)

    @hookimpl
    def kis_outcomes(self, run: TrainingRun, step: int, outcomes: Outcomes) -> None:
        """Compare with the running best; act on a collapse, a general loss above its limit, and on divergence.

        Raises:
            KISError: ``max_loss_rise`` is set, and it is unclear which of several losses it watches.
        """
        if self._config.action == "none":
            return
        self._refuse_unclear_split(run)
        held_out, seen = SeriesResults.of(outcomes, HELD_OUT), SeriesResults.of(outcomes, SEEN)
        held_out_change = seen_change = None
        if self._best is not None:
            held_out_change = compare(self._best.held_out, held_out)
            seen_change = compare(self._best.seen, seen)
        diverged = self._agreed(run, outcomes.diverged or run.session.diverged is not None)
        verdict = "diverged" if diverged else self._verdict(run, held_out_change, seen_change)
        acts = verdict in ("collapse", "loss", "diverged") and self._config.action not in self._done
        if diverged:
            held_out_change = seen_change = None  # answers of a diverged model are no measurements
        self._record(run, step, verdict, held_out_change, seen_change, acts)
        if acts:
            self._act(run, step, verdict, held_out_change)
        elif verdict == "forgetting" and not self._warned_of_forgetting:
            self._warned_of_forgetting = True
            fell = self._described(held_out_change)
            _warn(run, f"{fell}, and seen retention fell too: the model forgets or diverges, which is no collapse")
        if not diverged and len(held_out.results) and is_better(held_out_change, held_out.results, self._best):
            self._best, self._streak = Best(step, held_out.results, seen.results), 0

    @hookimpl
    def kis_state(self) -> Mapping[str, Any]:
        """Keep what the next evaluation's decision depends on."""
        if self._config.action == "none":
            return {}
        best = self._best
        kept = best and {"step": best.step, HELD_OUT: best.held_out.state(), SEEN: best.seen.state()}
        state = {"streak": self._streak, "done": dict(self._done), "forgot": self._warned_of_forgetting, "best": kept}
        return {"guard": {**state, "loss": self._loss_limit.state()}}

    @hookimpl
    def kis_end_record(self) -> Mapping[str, Any]:
        """Give the actions that were taken, and when."""
        return {"guard": [{"action": action, **when} for action, when in self._done.items()]} if self._done else {}

    def _refuse_unclear_split(self, run: TrainingRun) -> None:
        """Refuse a loss limit if it is unclear which split it applies to; every rank must call this, and all refuse."""
        if self._config.max_loss_rise is None or not self._agreed(run, bool(self._loss_limit.problem) and not run.rank):
            return
        found = self._loss_limit.problem or "losses that rank 0 names"
        hint = "retention.guard.max_loss_rise watches the loss of that evaluation set."
        raise KISError(Problem("retention.general_split", found, "the name of the general one", hint))

    def _verdict(self, run: TrainingRun, held_out: Change | None, seen: Change | None) -> str:
        """Return the verdict for the run log; every rank must call this.

        Collapse is a fall of held-out retention alone. Where seen retention falls too, the model forgets or diverges.
        """
        falls = (
            held_out is not None and self._is_significant(held_out) and held_out.relative_drop >= self._config.min_drop
        )
        forgets = falls and seen is not None and self._is_significant(seen)
        self._streak = self._streak + 1 if falls and not forgets else 0
        # Only rank 0 receives losses.
        exceeded = self._config.max_loss_rise is not None and self._agreed(
            run, self._loss_limit.exceeded and run.rank == 0
        )
        if self._streak >= self._config.patience:
            return "collapse"
        if exceeded:
            return "loss"
        return "forgetting" if forgets else "falling" if falls else "steady"

    def _agreed(self, run: TrainingRun, found: bool) -> bool:
        """Return whether any rank found it, so that all act alike; every rank must call this."""
        return bool(run.ranks.sum(np.array([found], dtype=np.int64))[0])

    def _has_fallen(self, change: Change) -> bool:
        return self._is_significant(change) and change.relative_drop >= self._config.min_drop

    def _is_significant(self, change: Change) -> bool:
        return change.p_value <= self._level

    def _act(self, run: TrainingRun, step: int, verdict: str, held_out: Change | None) -> None:
        if verdict == "diverged":
            why = f"the model has diverged: {run.session.diverged or 'logits are NaN or infinite'}"
        elif verdict == "loss":
            why = self._loss_limit.reason()
        else:
            why = self._described(held_out) + ", while seen retention did not: the onset of collapse"
        name = self._config.action
        self._done[name] = {"step": step, "verdict": verdict}
        _warn(run, f"at step {step} {why}. {ACTIONS[name].notice}")
        ACTIONS[name].act(run, self._config, why)

    def _described(self, change: Change | None) -> str:
        assert change is not None
        assert self._best is not None
        return (
            f"held-out retention fell from {change.before:.3f} (step {self._best.step}) to {change.after:.3f}: "
            f"{change.lost} facts lost, {change.gained} gained, p = {change.p_value:.1g} (significant at or below "
            f"{self._level:.1g})"
        )

    def _record(
        self,
        run: TrainingRun,
        step: int,
        verdict: str,
        held_out: Change | None,
        seen: Change | None,
        acts: bool,
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
        if held_out is not None and seen is not None and self._best is not None:
            of_seen = {"seen_lost": seen.lost, "seen_gained": seen.gained, "seen_p_value": seen.p_value}
            record = replace(
                record,
                best_step=self._best.step,
                n=held_out.questions,
                lost=held_out.lost,
                gained=held_out.gained,
                p_value=held_out.p_value,
                level=self._level,
                extra={
                    "facts": held_out.facts,
                    "before": held_out.before,
                    "after": held_out.after,
                    **of_seen,
                    **record.extra,
                },
            )
        run.session.publish([record])


def _warn(run: TrainingRun, line: str) -> None:
    if run.rank == 0:
        run.notify(f"kis: warning: {line}".removesuffix(".") + ".")
