"""Retention by how often the base text states a fact (``retention.corpus_counts``): accuracy by count, and its fit.

Two numbers go with each question. Its *count* is in how many windows of the base text subject and object of its fact
stand together, as ``kis count`` found; it never changes. ``x`` is how often the training so far has told the fact:
its count times the passes over the counted text so far, and the infused exposures so far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.config.schema import Config
from kis_plugin.counting.counts_file import FactCounts, read_counts
from kis_plugin.counting.learning_efficiency import NotTold, efficiency
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.facts import Fact
from kis_plugin.retention.probes import Question
from kis_plugin.retention.results import Outcomes, record_of
from kis_plugin.run import log as runlog
from kis_plugin.run.infuser import Shown
from kis_plugin.tokenized.infusion_split import InfusionSplit
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = [
    "BACKGROUND", "FEWEST", "SERIES", "Counted", "base_counts", "count_records", "counted_tokens", "read_run_counts",
    "with_efficiency",
]  # fmt: skip

BACKGROUND = "background"
SERIES = ("held_out", "seen", BACKGROUND)
"""The series that are broken down by count."""
FEWEST = 10
"""Questions below which the facts of a count are no series of their own."""

_BUCKETS = (0, 1, 10, 100, 1000)
_UNKNOWN = -1

FactsOf = Callable[[str], Sequence[Fact]]
"""The facts that the questions of a series are about, ``Question.fact`` being an index into them."""


@dataclass(frozen=True)
class Counted:
    """The counts of a run's facts, and how much text they were counted in.

    Attributes:
        counts: As read.
        facts_of: Finds the fact of a question.
        tokens: Of the counted text, by the run's tokenizer.
    """

    counts: FactCounts
    facts_of: FactsOf
    tokens: float

    def records(self, step: int, tokens: int, outcomes: Outcomes) -> list[runlog.Retention]:
        """Return accuracy by count, after ``step`` optimizer steps and ``tokens`` training tokens."""
        return count_records(step, tokens, outcomes, base_counts(outcomes.questions, self.facts_of, self.counts))

    def fitted(
        self, records: Sequence[runlog.Retention], outcomes: Outcomes, tokens: int, shown: Shown | None
    ) -> list[runlog.Retention]:
        """Return the records with how efficiently facts were learnt.

        Args:
            records: Of the same evaluation.
            outcomes: What came of it.
            tokens: Training tokens so far, infused ones included.
            shown: What was infused so far; None if nobody knows.
        """
        if shown is None:
            return with_efficiency(records, outcomes, "it is not known what was infused so far")
        passes = (tokens - shown.tokens) / self.tokens if self.tokens else 0.0
        x = passes * base_counts(outcomes.questions, self.facts_of, self.counts).astype(np.float64)
        x[x < 0] = np.nan
        for place in np.flatnonzero(np.isfinite(x)).tolist():
            if outcomes.questions[place].series != BACKGROUND:  # nothing of it is infused, and it numbers other facts
                x[place] += shown.exposures[outcomes.questions[place].fact]
        return with_efficiency(records, outcomes, x)


def read_run_counts(config: Config, material: InfusionSplit) -> FactCounts | None:
    """Return the counts that a configuration names, None if it names none.

    Raises:
        KISError: A file that is not right, or facts that are told and were not counted as they are now.
    """
    if config.retention.corpus_counts is None:
        return None
    counts = read_counts(config.retention.corpus_counts)
    counts.of_all(material.facts, f"{config.path or 'config'} retention.corpus_counts")
    return counts


def counted_tokens(about: Mapping[str, Any], tokenizer: TextTokenizer) -> float:
    """Return how many tokens the counted text has, from its bytes and the samples of it in the first line of counts."""
    sample = [text for text in about["sample"] if text]
    size = sum(len(text.encode()) for text in sample)
    if not size:
        return 0.0
    return float(about["bytes"] * tokenizer.encode_ids(sample)[1].sum() / size)


def base_counts(questions: Sequence[Question], facts_of: FactsOf, counts: FactCounts) -> IntArray:
    """Return in how many windows of the base text each question's fact stands, -1 where nothing says: (questions,).

    Nothing says for questions of series other than ``SERIES``, and for facts that were not counted as they are now.
    """
    found = np.full(len(questions), _UNKNOWN, dtype=np.int64)
    facts = {series: facts_of(series) for series in {question.series for question in questions} & set(SERIES)}
    for place, question in enumerate(questions):
        among = facts.get(question.series, ())
        if question.fact < len(among):
            count = counts.of(among[question.fact])
            found[place] = _UNKNOWN if count is None else count
    return found


def count_records(step: int, tokens: int, outcomes: Outcomes, counts: IntArray) -> list[runlog.Retention]:
    """Return a record for each count of each of ``SERIES``, such as ``held_out/count/10-99``, with enough questions.

    Args:
        step: Optimizer steps done.
        tokens: Training tokens so far.
        outcomes: What was answered.
        counts: (questions,) from ``base_counts``.
    """
    records = []
    for series, rows in outcomes.series.items():
        bucket = np.searchsorted(_BUCKETS, counts[rows], side="right") - 1
        for number in range(len(_BUCKETS) if series in SERIES else 0):
            some = rows[bucket == number]
            if len(some) >= FEWEST:
                records.append(record_of(step, tokens, f"{series}/count/{_name(number)}", outcomes, some))
    return records


def with_efficiency(
    records: Sequence[runlog.Retention], outcomes: Outcomes, x: npt.NDArray[np.float64] | str
) -> list[runlog.Retention]:
    """Return records, those of ``SERIES`` with ``efficiency`` among their extras: the law, or why it cannot be told.

    Args:
        records: Of the same evaluation as ``outcomes``.
        outcomes: What was answered.
        x: (questions,) how often the training so far told each fact, NaN where nobody knows; or why nobody knows.
    """
    fitted = {series: _fit(outcomes, rows, x) for series, rows in outcomes.series.items() if series in SERIES}
    return [
        replace(record, extra={**record.extra, "efficiency": fitted[record.probe]})
        if record.probe in fitted
        else record
        for record in records
    ]


def _fit(outcomes: Outcomes, rows: IntArray, x: npt.NDArray[np.float64] | str) -> dict[str, Any]:
    if isinstance(x, str):
        return NotTold(x, 0).as_json()
    facts = [outcomes.questions[row].fact for row in rows.tolist()]
    rows = rows[np.sort(np.unique(facts, return_index=True)[1])]  # the law's likelihood takes questions for independent
    known = rows[np.isfinite(x[rows])]
    return efficiency(outcomes.correct[known], x[known]).as_json()


def _name(bucket: int) -> str:
    first, *rest = _BUCKETS[bucket : bucket + 2]
    if not rest:
        return f"{first}+"
    return f"{first}" if rest[0] == first + 1 else f"{first}-{rest[0] - 1}"
