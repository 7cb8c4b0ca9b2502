"""Retention by how often the base text states a fact (``retention.corpus_counts``).

Two numbers belong to each question. The *count* of its fact is in how many windows of the base text subject and object
stand together, as ``kis count`` found; it never changes. ``occurrences`` is how often the training so far has shown the
fact: its count times the epochs over the counted text so far, and the infused exposures so far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.config.schema import Config
from kis_plugin.counting.counts_file import FactCounts, read_counts
from kis_plugin.counting.learning_efficiency import Undetermined, learning_efficiency
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.facts import Fact
from kis_plugin.knowledge.per_entry_file import entry_key
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.results import Outcomes, record_of
from kis_plugin.retention.series import BACKGROUND, HELD_OUT, SEEN
from kis_plugin.run import log as runlog
from kis_plugin.run.infuser import Shown
from kis_plugin.tokenized.infusion_split import InfusionSplit
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = [
    "MIN_QUESTIONS", "SERIES", "CorpusCounts", "base_counts", "count_records", "counted_tokens", "read_run_counts",
    "with_efficiency",
]  # fmt: skip

SERIES = (HELD_OUT, SEEN, BACKGROUND)
"""The series that are broken down by count."""
MIN_QUESTIONS = 10
"""A range of counts with fewer questions gets no record of its own."""

_BUCKETS = (0, 1, 10, 100, 1000)  # where each range of counts begins
_UNKNOWN = -1

FactsOf = Callable[[str], Sequence[Fact]]
"""Returns the facts that the questions of a series are about; ``Question.fact`` is an index into them."""


@dataclass(frozen=True)
class CorpusCounts:
    """The counts of a run's facts, and how much text was counted.

    Attributes:
        counts: As read.
        tokens: Tokens of the counted text, by the run's tokenizer.
    """

    counts: FactCounts
    tokens: float

    def records(self, step: int, tokens: int, outcomes: Outcomes, facts_of: FactsOf) -> list[runlog.Retention]:
        """Return accuracy by count, after ``step`` optimizer steps and ``tokens`` training tokens."""
        return count_records(step, tokens, outcomes, base_counts(outcomes.questions, facts_of, self.counts))

    def occurrences(self, outcomes: Outcomes, facts_of: FactsOf, tokens: int, shown: Shown) -> npt.NDArray[np.float64]:
        """Return how often the training so far has shown the fact of each question, NaN where unknown: (questions,).

        Args:
            outcomes: The evaluation.
            facts_of: The facts of each series.
            tokens: Training tokens so far, infused ones included.
            shown: What was infused so far.
        """
        epochs = (tokens - shown.tokens) / self.tokens if self.tokens else 0.0
        found = epochs * base_counts(outcomes.questions, facts_of, self.counts).astype(np.float64)
        found[found < 0] = np.nan  # a negative count means unknown
        for place in np.flatnonzero(np.isfinite(found)).tolist():
            # Nothing of the background is infused, and its questions number other facts.
            if outcomes.questions[place].series != BACKGROUND:
                found[place] += shown.exposures[outcomes.questions[place].fact]
        return found


def read_run_counts(config: Config, split: InfusionSplit) -> FactCounts | None:
    """Return the counts that a configuration names, None if it names none.

    Raises:
        KISError: An invalid file, or infused facts that were not counted as they are now.
    """
    if config.retention.corpus_counts is None:
        return None
    counts = read_counts(config.retention.corpus_counts)
    counts.of_all(split.facts, f"{config.path or 'config'} retention.corpus_counts")
    return counts


def counted_tokens(about: Mapping[str, Any], tokenizer: TextTokenizer) -> float:
    """Estimate the tokens of the counted text, from its bytes and the text samples in the first line of the counts."""
    sample = [text for text in about["sample"] if text]
    size = sum(len(text.encode()) for text in sample)
    if not size:
        return 0.0
    return float(about["bytes"] * tokenizer.encode_ids(sample)[1].sum() / size)


def base_counts(questions: Sequence[Question], facts_of: FactsOf, counts: FactCounts) -> IntArray:
    """Return the count of each question's fact, -1 where it is unknown: (questions,).

    It is unknown for questions of series other than ``SERIES``, and for facts that were not counted as they are now.
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
    """Return a record for each range of counts in each of ``SERIES``, such as ``held_out/count/10-99``.

    Args:
        step: Optimizer steps done.
        tokens: Training tokens so far.
        outcomes: The evaluation.
        counts: (questions,) from ``base_counts``.
    """
    records = []
    for series, rows in outcomes.series.items():
        bucket = np.searchsorted(_BUCKETS, counts[rows], side="right") - 1
        for number in range(len(_BUCKETS) if series in SERIES else 0):
            some = rows[bucket == number]
            if len(some) >= MIN_QUESTIONS:
                records.append(record_of(step, tokens, f"{series}/count/{_range_name(number)}", outcomes, some))
    return records


def with_efficiency(
    records: Sequence[runlog.Retention],
    outcomes: Outcomes,
    occurrences: npt.NDArray[np.float64] | str,
    facts_of: FactsOf,
) -> list[runlog.Retention]:
    """Return the records, those of ``SERIES`` with ``efficiency`` among their extras: the fitted law, or why not.

    Beside it are the ``answers`` that it was fitted to, so that several models can be compared by one law.

    Args:
        records: Of the same evaluation as ``outcomes``.
        outcomes: The evaluation.
        occurrences: (questions,) how often the training so far has shown each fact, NaN where that is unknown; or why
            it is unknown for all.
        facts_of: The facts of each series.
    """
    fitted = {
        series: _fit(outcomes, rows, occurrences, facts_of(series))
        for series, rows in outcomes.series.items()
        if series in SERIES
    }
    return [
        replace(record, extra={**record.extra, **fitted[record.probe]}) if record.probe in fitted else record
        for record in records
    ]


def _fit(
    outcomes: Outcomes, rows: IntArray, occurrences: npt.NDArray[np.float64] | str, facts: Sequence[Fact]
) -> dict[str, Any]:
    if isinstance(occurrences, str):
        return {"efficiency": Undetermined(occurrences, 0).as_json()}
    probed = [outcomes.questions[row].fact for row in rows.tolist()]
    # One question a fact: the likelihood takes answers as independent.
    rows = rows[np.sort(np.unique(probed, return_index=True)[1])]
    known = rows[np.isfinite(occurrences[rows])]
    answers = {
        "facts": [f"{entry_key(facts[outcomes.questions[row].fact]):016x}" for row in known.tolist()],
        "occurrences": [round(x, 6) for x in occurrences[known].tolist()],
        "correct": outcomes.correct[known].astype(int).tolist(),
    }
    fitted = learning_efficiency(outcomes.correct[known], occurrences[known]).as_json()
    return {"efficiency": fitted, "answers": answers}


def _range_name(bucket: int) -> str:
    first, *rest = _BUCKETS[bucket : bucket + 2]
    if not rest:
        return f"{first}+"
    return f"{first}" if rest[0] == first + 1 else f"{first}-{rest[0] - 1}"
