"""Multiple-choice questions as rows of tokens, with the tokens to score in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.scoring.batch_rows import PlainRows, TreeRows
from kis_plugin.retention.scoring.prefix_trees import Row, fold
from kis_plugin.tokenized.document_start import first_token
from kis_plugin.tokenized.tokenizer import Encoded, TextTokenizer

__all__ = ["PreparedQuestions", "Scores", "prepare"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """The model's log-probability of each option.

    Attributes:
        logprobs: (questions, options) in nats, of each option given its prefix; a question with fewer options than
            others has -inf in the remaining columns.
        answers: (questions,) index of the right option.
    """

    logprobs: FloatArray
    answers: IntArray

    @property
    def margin(self) -> FloatArray:
        """Right option minus best wrong one, in nats: (questions,)."""
        right = np.take_along_axis(self.logprobs, self.answers[:, None], axis=1)[:, 0]
        wrong = self.logprobs.copy()
        np.put_along_axis(wrong, self.answers[:, None], -np.inf, axis=1)
        margin: FloatArray = right - wrong.max(axis=1)
        return margin

    @property
    def finite(self) -> npt.NDArray[np.bool_]:
        """Whether the logits behind all options were numbers: (questions,)."""
        finite: npt.NDArray[np.bool_] = np.isnan(self.logprobs).sum(axis=1) == 0
        return finite

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether the right option is strictly the likeliest: (questions,). A tie is wrong, so is a NaN."""
        return self.margin > 0


@dataclass(frozen=True)
class PreparedQuestions:
    """Questions as the rows that the model sees; the same at every evaluation of a run.

    A scored token has a row, a position whose logits predict it, an id, and the option it belongs to.

    Attributes:
        rows: Token ids, longest row first. A row that is a prefix of another is part of it, not a row of its own.
        row: (scored,) indices into ``rows``, sorted.
        position: (scored,)
        token: (scored,)
        option: (scored,) ``question * options + option``.
        lengths: (questions,) tokens of a question's longest option, EOS before it included.
        options: Most options of a question.
        answers: (questions,)
        counts: (questions,) options of each question.
        bytes: (questions,) UTF-8 bytes of the text that is scored of the right option.
    """

    rows: tuple[Row, ...]
    row: IntArray
    position: IntArray
    token: IntArray
    option: IntArray
    lengths: IntArray
    options: int
    answers: IntArray
    counts: IntArray
    bytes: IntArray

    def scored(self, logprobs: FloatArray) -> Scores:
        """Sum the log-probabilities of scored tokens, (scored,), to those of options."""
        cells = len(self.answers) * self.options
        sums = np.zeros(cells)
        np.add.at(sums, self.option, logprobs)
        totals: FloatArray = sums.reshape(len(self.answers), self.options)
        totals[np.arange(self.options) >= self.counts[:, None]] = -np.inf
        return Scores(totals, self.answers)

    @cached_property
    def plain_rows(self) -> PlainRows:
        """The rows as they are, which any causal model takes."""
        return PlainRows(self.rows, self.row, self.position, self.token)

    def tree_rows(self, sequence_length: int | None = None) -> TreeRows:
        """The rows folded into prefix trees, (scored,) in another order.

        Args:
            sequence_length: Trees are no wider, unless a single row is longer.
        """
        return TreeRows(fold(self.rows, self.row, self.position, sequence_length), self.token)


def prepare(questions: Sequence[Question], tokenizer: TextTokenizer) -> PreparedQuestions:
    """Tokenize questions in the way of infusion: EOS or BOS, then the whole sentence encoded at once.

    Scored are the tokens from the first one on that reaches into the object. Where the tokens of options differ
    earlier, because one of them changes how the end of the prefix is tokenized, all are scored from there on. So the
    differences between options are exactly those between the log-probabilities of their whole sentences.
    """
    begin = first_token(tokenizer)
    encoded = iter(tokenizer.encode([question.prefix + text for question in questions for text in question.options]))
    options = max((len(question.options) for question in questions), default=0)
    rows: list[Row] = []
    scored: list[tuple[int, int, int, int]] = []  # number in rows, position, token, option
    sizes: list[int] = []
    for number, question in enumerate(questions):
        texts = [next(encoded) for _ in question.options]
        start = min([*(_reaching(text, len(question.prefix)) for text in texts), _shared(texts)])
        for place, text in enumerate(texts):
            cell = number * options + place
            # Row position p holds token p - 1 (EOS or BOS stands at 0), so its logits predict token p.
            scored += [(len(rows), position, text.ids[position], cell) for position in range(start, len(text.ids))]
            rows.append((begin, *text.ids[:-1]))  # nothing is predicted from the last token
        sentence = question.prefix + question.options[question.answer]
        sizes.append(len(sentence[texts[question.answer].ends[start - 1] if start else 0 :].encode()))
    kept, places = _merged(rows)
    row, position, token, option = np.array(scored, dtype=np.int64).reshape(-1, 4).T
    order = np.argsort(places[row], kind="stable")
    counts = np.array([len(question.options) for question in questions], dtype=np.int64)
    lengths = np.array([len(row) + 1 for row in rows], dtype=np.int64)
    return PreparedQuestions(
        rows=kept,
        row=places[row][order],
        position=position[order],
        token=token[order],
        option=option[order],
        lengths=np.maximum.reduceat(lengths, np.cumsum(counts) - counts) if len(counts) else counts,
        options=options,
        answers=np.array([question.answer for question in questions], dtype=np.int64),
        counts=counts,
        bytes=np.array(sizes, dtype=np.int64),
    )


def _reaching(text: Encoded, length: int) -> int:
    """Return the first token whose text ends after ``length`` characters."""
    return next((index for index, end in enumerate(text.ends) if end > length), len(text.ids))


def _shared(texts: Sequence[Encoded]) -> int:
    """Return how many first tokens all have in common."""
    ids = [text.ids for text in texts]
    return next((at for at, same in enumerate(zip(*ids, strict=False)) if len(set(same)) > 1), min(map(len, ids)))


def _merged(rows: Sequence[Row]) -> tuple[tuple[Row, ...], IntArray]:
    """Drop rows that are a prefix of another: a causal model gives the same logits for both.

    Returns:
        The rows that are left, longest first, and for each given row its place among them.
    """
    holder: dict[Row, Row] = {}
    following: Row = ()
    for row in sorted(set(rows), reverse=True):  # a row that begins with another stands right before it
        following = holder[row] = holder[following] if following[: len(row)] == row else row
    kept = sorted(set(holder.values()), key=lambda row: (-len(row), row))
    place = {row: number for number, row in enumerate(kept)}
    return tuple(kept), np.array([place[holder[row]] for row in rows], dtype=np.int64)
