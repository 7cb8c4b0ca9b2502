"""What one evaluation found, question by question, and the run-log records that summarise it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.registry import find
from kis_plugin.retention.intervals import difference, effective_questions, wilson
from kis_plugin.retention.protocols import AnswerScorer
from kis_plugin.retention.questions.baselines import ceiling_of
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.series import ABOVE_CONTROL, CONTROL, HELD_OUT
from kis_plugin.run import log as runlog

__all__ = ["MIN_QUESTIONS", "Outcomes", "above_control", "parts_of", "record_of", "rows_of_series", "series_records"]

MIN_QUESTIONS = 4
"""A relation or domain of fewer questions in a series gets no record of its own."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """One evaluation, the same on every rank.

    Attributes:
        questions: The questions.
        correct: (questions,) whether the answer was right.
        margin: (questions,) nats, right option over best wrong one; NaN where there are no options.
        bits_per_byte: (questions,) of the right option's text; NaN where it was not scored.
        chance: (questions,) probability that a random answer is right.
        seconds: Wall time of the whole evaluation.
        finite: (questions,) whether the logits behind the answer were numbers; None if that was not checked.
        measures: Further values that answer scorers give, (questions,) each, by name; NaN for questions of others.
    """

    questions: Sequence[Question]
    correct: npt.NDArray[np.bool_]
    margin: FloatArray
    bits_per_byte: FloatArray
    chance: FloatArray
    seconds: float
    finite: npt.NDArray[np.bool_] | None = None
    measures: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def diverged(self) -> bool:
        """Whether any logit was NaN or infinite: the accuracies then say nothing about what the model knows."""
        return self.finite is not None and not self.finite.all()

    @property
    def series(self) -> Mapping[str, IntArray]:
        """The rows of each series' questions, in the order in which series first occur."""
        return rows_of_series(self.questions)


def rows_of_series(questions: Sequence[Question]) -> dict[str, IntArray]:
    """Return the indices of each series' questions."""
    rows: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        rows.setdefault(question.series, []).append(place)
    return {name: np.array(places, dtype=np.int64) for name, places in rows.items()}


def series_records(step: int, tokens: int, outcomes: Outcomes, by: Sequence[str] = ()) -> list[runlog.Retention]:
    """Return a record of each series, after ``step`` optimizer steps and ``tokens`` training tokens.

    Args:
        step: For the records.
        tokens: For the records.
        outcomes: The evaluation.
        by: What to break series down by: ``relation``, ``domain``, ``template``. The records of parts follow those of
            all series.
    """
    whole = [record_of(step, tokens, name, outcomes, rows) for name, rows in outcomes.series.items()]
    return whole + [record_of(step, tokens, name, outcomes, rows) for name, rows in parts_of(outcomes, by)]


def parts_of(outcomes: Outcomes, by: Sequence[str]) -> Iterator[tuple[str, IntArray]]:
    """Yield the parts of each series, as ``held_out/relation/P19``, with their rows.

    A part of fewer than ``MIN_QUESTIONS`` questions is left out, and one that is all of its series.
    """
    for series, rows in outcomes.series.items():
        for key in by:
            parts: dict[str, list[int]] = {}
            for row in rows.tolist():
                for name in _KEYS[key](outcomes.questions[row]):
                    parts.setdefault(name, []).append(row)
            for name in sorted(parts):
                if MIN_QUESTIONS <= len(parts[name]) < len(rows):
                    yield f"{series}/{key}/{name}", np.array(parts[name], dtype=np.int64)


_KEYS: dict[str, Callable[[Question], tuple[str, ...]]] = {
    "relation": lambda question: (question.relation,) if question.relation else (),
    "domain": lambda question: question.domains,
    "template": lambda question: (str(question.template),) if question.template >= 0 else (),
}


def above_control(records: Sequence[runlog.Retention]) -> runlog.Retention | None:
    """Return by how much held-out accuracy exceeds that of controls, with its interval; None where one is missing.

    Both intervals already account for several questions a fact (``kis_plugin.retention.intervals.difference``).

    Args:
        records: Of one evaluation, in which controls are probed like held-out facts.
    """
    by_name = {record.probe: record for record in records}
    held_out, control = by_name.get(HELD_OUT), by_name.get(CONTROL)
    if held_out is None or control is None:
        return None
    value, low, high = difference(*((one.accuracy, one.extra["low"], one.extra["high"]) for one in (held_out, control)))
    return runlog.Retention(
        step=held_out.step,
        tokens=held_out.tokens,
        probe=ABOVE_CONTROL,
        accuracy=value,
        n=held_out.n,
        independent=held_out.independent,
        seconds=held_out.seconds,
        extra={"low": low, "high": high, "control_n": control.n},
    )


def record_of(step: int, tokens: int, series: str, outcomes: Outcomes, rows: IntArray) -> runlog.Retention:
    """Return the record of the questions at ``rows``, under the name ``series``."""
    correct = int(outcomes.correct[rows].sum())
    questions = [outcomes.questions[row] for row in rows.tolist()]
    facts = np.array([question.fact for question in questions])
    independent = effective_questions(outcomes.correct[rows], facts)
    low, high = wilson(correct / len(rows), round(independent))
    return runlog.Retention(
        step=step,
        tokens=tokens,
        probe=series,
        accuracy=correct / len(rows),
        n=len(rows),
        independent=None if independent == len(rows) else independent,
        correct=correct,
        margin=_finite_mean(outcomes.margin[rows]),
        bits_per_byte=_finite_mean(outcomes.bits_per_byte[rows]),
        seconds=outcomes.seconds,
        extra={"low": low, "high": high, **_comparisons(outcomes, rows, questions)},
    )


def _comparisons(outcomes: Outcomes, rows: IntArray, questions: Sequence[Question]) -> dict[str, float]:
    """Return what an accuracy is to be compared with: chance, baseline and ceiling; and what scorers measured."""
    scorer: AnswerScorer = find("scorers", questions[0].scorer, f"series {questions[0].series}")
    found: dict[str, float | None] = {
        "chance": float(outcomes.chance[rows].mean()),
        "frequency_baseline": scorer.frequency_baseline(questions),
        "ceiling": float(np.mean([ceiling_of(question) for question in questions])),
        **{name: _finite_mean(values[rows]) for name, values in outcomes.measures.items()},
    }
    return {name: value for name, value in found.items() if value is not None}


def _finite_mean(values: FloatArray) -> float | None:
    """Return the mean; None where it is no number, as for a model that diverged: its answers count as wrong."""
    mean = float(values.mean())
    return mean if np.isfinite(mean) else None
