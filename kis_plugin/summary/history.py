"""A run log read as a course of evaluations: what each one found, with intervals and what to read it against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from kis_plugin.retention.intervals import difference, wilson
from kis_plugin.retention.series import ABOVE_CONTROL, CONTROL, HELD_OUT, QA, QA_ANSWER
from kis_plugin.run.log import GENERAL, Loss, Retention, Run, RunLog

__all__ = ["Evaluation", "History", "Point", "history_of"]

_MAIN = (HELD_OUT, QA, QA_ANSWER)
"""Series that stand for retention proper, the first one that a run has."""


@dataclass(frozen=True)
class Point:
    """One series at one evaluation.

    Attributes:
        accuracy: Correct answers / questions; of ``above_control`` a difference of two.
        low: Lower end of its 95 % interval.
        high: Upper end.
        chance: Probability that a random answer is right; None where there is none.
        n: Number of probes.
        worth: Number of independent probes that carry as much information.
        baseline: Accuracy of the most frequent answer; None where it is not known.
    """

    accuracy: float
    low: float
    high: float
    chance: float | None
    n: int
    worth: int
    baseline: float | None = None

    @property
    def interval(self) -> tuple[float, float, float]:
        """Accuracy and the ends of its interval."""
        return self.accuracy, self.low, self.high

    @property
    def uninformed(self) -> float | None:
        """The best accuracy without knowledge of subjects: chance, or the baseline where that is higher."""
        return None if self.chance is None else max(self.chance, self.baseline or 0.0)

    def exceeds(self, other: Point) -> bool:
        """Return whether this accuracy is above another one beyond the noise of both."""
        return difference(self.interval, other.interval)[1] > 0


@dataclass(frozen=True)
class Evaluation:
    """One evaluation.

    Attributes:
        step: Optimizer steps done.
        tokens: Training tokens seen.
        series: Whole series by name; parts by relation, domain and template are left out.
        seconds: Wall time; None where the log does not have it.
    """

    step: int
    tokens: int
    series: Mapping[str, Point]
    seconds: float | None


@dataclass(frozen=True)
class History:
    """A run and its evaluations.

    Attributes:
        log: The run log.
        evaluations: In the order of steps; of a step that was evaluated twice, as after a resume, the later one.
    """

    log: RunLog
    evaluations: tuple[Evaluation, ...]

    @property
    def run(self) -> Run:
        """The log's first record."""
        return self.log.run

    @cached_property
    def main(self) -> str | None:
        """The series that stands for retention: held-out probes, or the user's own questions; None without any."""
        names = {name: None for one in self.evaluations for name in one.series}
        return next((name for name in (*_MAIN, *names) if name in names), None)

    def points(self, series: str) -> list[tuple[int, Point]]:
        """Return step and point of each evaluation of a series."""
        return [(one.step, one.series[series]) for one in self.evaluations if series in one.series]

    def first(self, series: str | None) -> Point | None:
        """Return the earliest point of a series."""
        return next(iter([point for _, point in self.points(series)] if series else []), None)

    def last(self, series: str | None) -> Point | None:
        """Return the latest point of a series."""
        found = self.points(series) if series else []
        return found[-1][1] if found else None

    def best(self, series: str | None) -> tuple[int, Point] | None:
        """Return step and point of the highest accuracy of a series, the earliest of equals."""
        return max(self.points(series), key=lambda at: at[1].accuracy, default=None) if series else None

    @cached_property
    def losses(self) -> Mapping[str, tuple[tuple[int, float], ...]]:
        """Step and loss by split, in the order of steps."""
        return _losses(self.log.loss)

    @cached_property
    def general_split(self) -> str | None:
        """The split that shows what is forgotten: the one that the run names, or KIS's own, or the first of its host's.

        None without any loss.
        """
        named = self.run.extra.get("general_split")
        # The Trainer puts eval_ before the names of its evaluation sets.
        return next((name for name in (named, f"eval_{named}", GENERAL, *self.losses) if name in self.losses), None)

    @property
    def evaluation_seconds(self) -> float | None:
        """Wall time of all evaluations; None where the log does not have it."""
        known = [one.seconds for one in self.evaluations if one.seconds is not None]
        return sum(known) if known else None

    @property
    def seconds(self) -> float | None:
        """Wall time of the run, all its starts together; None where the log does not have it."""
        value = self.log.end.extra.get("wall_seconds") if self.log.end else None
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else None


def history_of(log: RunLog) -> History:
    """Return a run log as a course of evaluations. An end that a resumed run has gone beyond is none."""
    steps = [record.step for record in log.retention] + [record.step for record in log.loss]
    if log.end and max(steps, default=0) > log.end.step:
        log = replace(log, end=None)
    by_step: dict[int, dict[str, Retention]] = {}
    for record in log.retention:
        if "/" not in record.probe:
            by_step.setdefault(record.step, {})[record.probe] = record
    return History(log, tuple(_evaluation(by_step[step], log.run) for step in sorted(by_step)))


def _evaluation(records: Mapping[str, Retention], run: Run) -> Evaluation:
    series = {name: _point(record, run) for name, record in records.items()}
    if ABOVE_CONTROL not in series and HELD_OUT in series and CONTROL in series and not _says_itself(run):
        held_out, control = series[HELD_OUT], series[CONTROL]
        value, low, high = difference(held_out.interval, control.interval)
        series[ABOVE_CONTROL] = Point(value, low, high, 0.0, held_out.n, held_out.worth)
    some = next(iter(records.values()))
    seconds = [record.seconds for record in records.values() if record.seconds is not None]
    return Evaluation(some.step, some.tokens, series, max(seconds) if seconds else None)


def _says_itself(run: Run) -> bool:
    """Return whether a run's log has ``above_control`` wherever controls are probed like held-out facts."""
    return run.schema >= 2 and "probes" in run.extra


def _point(record: Retention, run: Run) -> Point:
    """Return a record as a point; what logs of other programs lack is computed as KIS would."""
    low, high = (_real(record.extra.get(end)) for end in ("low", "high"))
    if record.probe == ABOVE_CONTROL:
        low, high = (record.accuracy if end is None else end for end in (low, high))
        return Point(record.accuracy, low, high, 0.0, record.n, record.worth)
    if low is None or high is None:
        low, high = wilson(min(max(record.accuracy, 0.0), 1.0), record.worth) if record.worth else (0.0, 1.0)
    chance = _real(record.extra.get("chance"))
    if chance is None and run.options and run.options > 0:
        chance = 1 / run.options
    baseline = _real(record.extra.get("frequency_baseline"))
    return Point(record.accuracy, low, high, chance, record.n, record.worth, baseline)


def _real(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _losses(records: Sequence[Loss]) -> dict[str, tuple[tuple[int, float], ...]]:
    found: dict[str, dict[int, float]] = {}
    for record in records:
        found.setdefault(record.split, {})[record.step] = record.loss
    return {split: tuple(sorted(values.items())) for split, values in found.items()}
