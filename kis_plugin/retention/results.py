"""What came of one evaluation, question by question, and the records that are made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from kis_plugin.free_form.matching import floor_of
from kis_plugin.hashing import IntArray
from kis_plugin.retention.baselines import ceiling_of
from kis_plugin.retention.probes import Question
from kis_plugin.run import log as runlog

__all__ = ["LEAST", "Outcomes", "independent", "parts_of", "record_of", "rows_of_series", "series_records", "wilson"]

LEAST = 4
"""A relation or domain of fewer questions in a series gets no record of its own."""

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


def series_records(step: int, tokens: int, outcomes: Outcomes, by: Sequence[str] = ()) -> list[runlog.Retention]:
    """Return a record of each series, after ``step`` optimizer steps and ``tokens`` training tokens.

    Args:
        step: For the records.
        tokens: For the records.
        outcomes: What was asked and answered.
        by: What to break series down by: ``relation``, ``domain``. The records of parts follow those of all series.
    """
    whole = [record_of(step, tokens, name, outcomes, rows) for name, rows in outcomes.series.items()]
    return whole + [record_of(step, tokens, name, outcomes, rows) for name, rows in parts_of(outcomes, by)]


def parts_of(outcomes: Outcomes, by: Sequence[str]) -> Iterator[tuple[str, IntArray]]:
    """Yield the parts of each series, as ``held_out/relation/P19``, with their rows.

    A part of fewer than ``LEAST`` questions is left out, and one that is all of its series.
    """
    for series, rows in outcomes.series.items():
        for key in by:
            parts: dict[str, list[int]] = {}
            for row in rows.tolist():
                for name in _KEYS[key](outcomes.questions[row]):
                    parts.setdefault(name, []).append(row)
            for name in sorted(parts):
                if LEAST <= len(parts[name]) < len(rows):
                    yield f"{series}/{key}/{name}", np.array(parts[name], dtype=np.int64)


_KEYS: dict[str, Callable[[Question], tuple[str, ...]]] = {
    "relation": lambda question: (question.relation,) if question.relation else (),
    "domain": lambda question: question.domains,
}


def record_of(step: int, tokens: int, series: str, outcomes: Outcomes, rows: IntArray) -> runlog.Retention:
    """Return the record of some questions, ``rows``, as those of a series."""
    correct = int(outcomes.correct[rows].sum())
    asked = [outcomes.questions[row] for row in rows.tolist()]
    worth = independent(outcomes.correct[rows], np.array([question.fact for question in asked]))
    low, high = wilson(correct / len(rows), round(worth))
    extra = {"chance": float(outcomes.chance[rows].mean()), "low": low, "high": high}
    floor = floor_of(asked) if asked[0].decoded else _mean(np.array([question.null for question in asked]))
    extra |= {} if floor is None else {"floor": floor}
    extra["ceiling"] = float(np.mean([ceiling_of(question) for question in asked]))
    if outcomes.exact is not None and asked[0].decoded:
        extra["exact"] = float(outcomes.exact[rows].mean())
    return runlog.Retention(
        step=step,
        tokens=tokens,
        probe=series,
        accuracy=correct / len(rows),
        n=len(rows),
        independent=None if worth == len(rows) else worth,
        correct=correct,
        margin=_mean(outcomes.margin[rows]),
        bits_per_byte=_mean(outcomes.bits_per_byte[rows]),
        seconds=outcomes.seconds,
        extra=extra,
    )


def wilson(accuracy: float, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of an accuracy that rests on ``n`` independent questions."""
    low, high = binomtest(round(accuracy * n), n).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


def independent(correct: npt.NDArray[np.bool_], facts: IntArray) -> float:
    """Return how many independent questions tell as much as these, several of which may ask the same fact.

    n over the design effect of facts as clusters (Rao and Scott 1992, Biometrics 48: equation 2): between the number
    of facts, where the questions of a fact stand and fall together, and that of questions.

    Args:
        correct: (questions,) whether the answer was right.
        facts: (questions,) the fact that each asks about.
    """
    n = len(correct)
    _, of_fact = np.unique(facts, return_inverse=True)
    asked = np.bincount(of_fact)  # (facts,)
    count, part = len(asked), float(correct.mean())
    if count == n:
        return float(n)
    if count == 1 or part in {0.0, 1.0}:
        return float(count)
    residual = np.bincount(of_fact, weights=correct) - part * asked
    variance = count / (count - 1) * float(residual @ residual) / n**2
    return float(np.clip(part * (1 - part) / variance if variance else n, count, n))


def _mean(values: FloatArray) -> float | None:
    """Return the mean; None if there is none, as for a model that diverged: its answers count as wrong."""
    mean = float(values.mean())
    return mean if np.isfinite(mean) else None
