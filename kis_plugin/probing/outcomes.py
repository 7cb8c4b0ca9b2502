"""What came of one evaluation, question by question, and the records that are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from kis_plugin import runlog
from kis_plugin.probing.matching import floor_of
from kis_plugin.probing.probes import Question
from kis_plugin.run import TrainingRun
from kis_plugin.seeded import IntArray

__all__ = ["Outcomes", "rows_of_series", "series_records"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """One evaluation, the same on every rank.

    Attributes:
        questions: What was asked.
        correct: (questions,) whether the answer was right.
        margin: (questions,) nats, right option over best wrong one; NaN where there are no options.
        bits_per_byte: (questions,) of the right option's text; NaN where it was not scored.
        chance: (questions,) probability that a blind answer is right.
        seconds: Wall time of the whole evaluation.
        exact: (questions,) whether an answer in words of the model's own was the object to the letter; None if none
            was asked for.
    """

    questions: Sequence[Question]
    correct: npt.NDArray[np.bool_]
    margin: FloatArray
    bits_per_byte: FloatArray
    chance: FloatArray
    seconds: float
    exact: npt.NDArray[np.bool_] | None = None

    @property
    def series(self) -> Mapping[str, IntArray]:
        """The questions of each series, in the order in which series are first met."""
        return rows_of_series(self.questions)


def rows_of_series(questions: Sequence[Question]) -> dict[str, IntArray]:
    """Return the places of each series' questions."""
    rows: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        rows.setdefault(question.series, []).append(place)
    return {name: np.array(places, dtype=np.int64) for name, places in rows.items()}


def series_records(run: TrainingRun, step: int, outcomes: Outcomes) -> list[runlog.Retention]:
    """Return a record of each series."""
    return [_record(run, step, name, outcomes, rows) for name, rows in outcomes.series.items()]


def _record(run: TrainingRun, step: int, series: str, outcomes: Outcomes, rows: IntArray) -> runlog.Retention:
    correct = int(outcomes.correct[rows].sum())
    low, high = binomtest(correct, len(rows)).proportion_ci(0.95, method="wilson")
    extra = {"chance": float(outcomes.chance[rows].mean()), "low": float(low), "high": float(high)}
    asked = [outcomes.questions[row] for row in rows.tolist()]
    if outcomes.exact is not None and asked[0].decoded:
        extra |= {"exact": float(outcomes.exact[rows].mean()), "floor": floor_of(asked)}
    return runlog.Retention(
        step=step,
        tokens=run.tokens_at(step),
        probe=series,
        accuracy=correct / len(rows),
        n=len(rows),
        correct=correct,
        margin=_mean(outcomes.margin[rows]),
        seconds=outcomes.seconds,
        extra=extra,
    )


def _mean(values: FloatArray) -> float | None:
    """Return the mean; None if there is none, as for a model that diverged: its answers count as wrong."""
    mean = float(values.mean())
    return mean if np.isfinite(mean) else None
