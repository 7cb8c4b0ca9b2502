"""What came of one evaluation, question by question, and the records that are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from kis_plugin import runlog
from kis_plugin.probing.probes import Question
from kis_plugin.seeded import IntArray

__all__ = ["Outcomes", "record_of", "rows_of_series", "series_records"]

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
    """

    questions: Sequence[Question]
    correct: npt.NDArray[np.bool_]
    margin: FloatArray
    bits_per_byte: FloatArray
    chance: FloatArray
    seconds: float

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


def series_records(step: int, tokens: int, outcomes: Outcomes) -> list[runlog.Retention]:
    """Return a record of each series, after ``step`` optimizer steps and ``tokens`` training tokens."""
    return [record_of(step, tokens, name, outcomes, rows) for name, rows in outcomes.series.items()]


def record_of(step: int, tokens: int, series: str, outcomes: Outcomes, rows: IntArray) -> runlog.Retention:
    """Return the record of some questions, ``rows``, as those of a series."""
    correct = int(outcomes.correct[rows].sum())
    low, high = binomtest(correct, len(rows)).proportion_ci(0.95, method="wilson")
    return runlog.Retention(
        step=step,
        tokens=tokens,
        probe=series,
        accuracy=correct / len(rows),
        n=len(rows),
        correct=correct,
        margin=_mean(outcomes.margin[rows]),
        seconds=outcomes.seconds,
        extra={"chance": float(outcomes.chance[rows].mean()), "low": float(low), "high": float(high)},
    )


def _mean(values: FloatArray) -> float | None:
    """Return the mean; None if there is none, as for a model that diverged: its answers count as wrong."""
    mean = float(values.mean())
    return mean if np.isfinite(mean) else None
