"""A run's fate beside what the guard said of it, and how often the two agree over many runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from scipy.stats import binomtest

from benchmarks.guarding.fate import Witnessed
from benchmarks.guarding.replay import PATIENCE, RISE, SETTINGS, loss_alarm_of, verdicts_of
from benchmarks.guarding.trace import Trace
from benchmarks.guarding.witness import WITNESS

__all__ = ["Judged", "Rate", "delays", "judge", "loss_onset", "rate"]


@dataclass(frozen=True)
class Rate:
    """So many of so many."""

    count: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval; all of 0 to 1 of nothing."""
        if not self.of:
            return 0.0, 1.0
        low, high = binomtest(self.count, self.of).proportion_ci(0.95, method="wilson")
        return float(low), float(high)

    def __str__(self) -> str:
        if not self.of:
            return "none of 0"
        low, high = self.interval
        return f"{self.count} of {self.of} ({100 * low:.1f} to {100 * high:.1f} %)"


@dataclass(frozen=True)
class Judged:
    """One run, judged twice.

    Attributes:
        scenario: Its name.
        seed: Its seed.
        steps: Of the run.
        fate: By the witness.
        p_value: Of the witness's test.
        heights: Held-out retention by the witness at the best evaluation, and at the end.
        peak: Step of the best evaluation.
        alarms: By setting, the step at which the guard first said collapse.
        fallen_then: By setting, whether retention had fallen at that step by the witness too.
        forgetting: The guard said that the model forgets, and never that it collapses.
        loss_onset: From where on the loss on the witness's text is too high, to the end; None if it is not.
        loss_alarm: Step at which the guard's is past its allowance.
    """

    scenario: str
    seed: int
    steps: int
    fate: str
    p_value: float
    heights: tuple[float, float]
    peak: int
    alarms: Mapping[str, int | None]
    fallen_then: Mapping[str, bool | None]
    forgetting: bool
    loss_onset: int | None
    loss_alarm: int | None


def judge(trace: Trace) -> Judged:
    """Judge a run.

    Raises:
        RuntimeError: Replayed, the guard does not give the verdicts that it gave in the run.
    """
    if (again := verdicts_of(trace, {"max_loss_rise": RISE})) != list(trace.verdicts):
        raise RuntimeError(f"{trace.scenario}, seed {trace.seed}: {trace.verdicts} in the run, {again} when replayed")
    witnessed = Witnessed(trace)
    fate = witnessed.fate()
    said = {name: verdicts_of(trace, settings) for name, settings in SETTINGS.items()}
    alarms = {name: _first(verdicts, "collapse") for name, verdicts in said.items()}
    then = {name: None if step is None else witnessed.fate(step).fell for name, step in alarms.items()}
    return Judged(
        scenario=trace.scenario,
        seed=trace.seed,
        steps=trace.steps,
        fate=fate.verdict,
        p_value=fate.held_out.p_value,
        heights=(fate.held_out.before, fate.held_out.after),
        peak=witnessed.peak,
        alarms=alarms,
        fallen_then=then,
        forgetting=alarms["default"] is None and _first(said["default"], "forgetting") is not None,
        loss_onset=loss_onset(trace.losses),
        loss_alarm=loss_alarm_of(trace, RISE, PATIENCE),
    )


def loss_onset(losses: Iterable[tuple[int, str, float]]) -> int | None:
    """Return the step from which the loss on the witness's text is above its best by more than ``RISE`` to the end."""
    best, onset = float("inf"), None
    for step, split, loss in losses:
        if split == WITNESS:
            best = min(best, loss)
            onset = None if loss <= best + RISE else step if onset is None else onset
    return onset


def rate(runs: Iterable[Judged], fate: str, setting: str) -> Rate:
    """Return of how many runs of such a fate the guard said collapse."""
    some = [run for run in runs if run.fate == fate]
    return Rate(sum(run.alarms[setting] is not None for run in some), len(some))


def delays(runs: Iterable[Judged], setting: str) -> tuple[float, float, float] | None:
    """Return the part of a run between its best evaluation and the alarm, if it collapses: median, least, greatest."""
    found = [
        (alarm - run.peak) / run.steps
        for run in runs
        if run.fate == "collapses" and (alarm := run.alarms[setting]) is not None
    ]
    return (median(found), min(found), max(found)) if found else None


def _first(verdicts: Sequence[tuple[int, str]], wanted: str) -> int | None:
    return next((step for step, verdict in verdicts if verdict == wanted), None)
