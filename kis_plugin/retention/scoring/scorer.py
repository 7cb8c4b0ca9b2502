"""Log-probabilities of options, exactly, in few passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.retention.probes import Question
from kis_plugin.retention.scoring.batch_rows import RowLines, TreeLines, why_no_trees
from kis_plugin.retention.scoring.forward_passes import BATCH_TOKENS, Passes
from kis_plugin.retention.scoring.prefix_trees import Row, fold
from kis_plugin.run.model_view import ModelView
from kis_plugin.run.ranks import Ranks
from kis_plugin.tokenized.tokenizer import Encoded, TextTokenizer

__all__ = ["PreparedQuestions", "Scorer", "Scores", "prepare", "score", "unwatched"]

FloatArray = npt.NDArray[np.float64]


def unwatched(part: float) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Scores:
    """What the model thinks of each option.

    Attributes:
        logprobs: (questions, options) log-probabilities in nats of each option given its prefix; questions with fewer
            options than others have -inf behind theirs.
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
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether the right option is strictly the likeliest: (questions,). A tie is wrong, so is a NaN."""
        return self.margin > 0


@dataclass(frozen=True)
class PreparedQuestions:
    """Questions as the rows a model is shown; the same at every evaluation of a run.

    A scored token is a row, a position whose logits predict it, its id, and the option it belongs to.

    Attributes:
        rows: Token ids, longest row first. A row that begins another is part of it, not a row of its own.
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

    def score(
        self,
        model: ModelView,
        batch_tokens: int = BATCH_TOKENS,
        sequence_length: int | None = None,
        ranks: Ranks | None = None,
    ) -> Scores:
        """Run the model once; for more than that make a ``Scorer``."""
        return Scorer(self, batch_tokens, sequence_length).score(model, ranks)

    def scored(self, logprobs: FloatArray) -> Scores:
        """Sum the log-probabilities of scored tokens, (scored,), to those of options."""
        cells = len(self.answers) * self.options
        sums = np.zeros(cells)
        np.add.at(sums, self.option, logprobs)
        totals: FloatArray = sums.reshape(len(self.answers), self.options)
        totals[np.arange(self.options) >= self.counts[:, None]] = -np.inf
        return Scores(totals, self.answers)

    @cached_property
    def row_lines(self) -> RowLines:
        """The rows, one to a line: the plain way, which any model takes."""
        return RowLines(self.rows, self.row, self.position, self.token)

    def tree_lines(self, sequence_length: int | None = None) -> TreeLines:
        """The rows folded into trees, (scored,) in another order.

        Args:
            sequence_length: Trees are no wider, unless a single row is longer.
        """
        return TreeLines(fold(self.rows, self.row, self.position, sequence_length), self.token)


class Scorer:
    """Scores the same questions again and again, in the same passes.

    Args:
        prepared: What is asked.
        batch_tokens: Tokens of one pass, padding included; a single line may be longer.
        sequence_length: The longest row that the model takes; lines are not padded beyond.
        trees: Whether to fold rows into trees where the model takes them.

    Attributes:
        without_trees: Why rows are scored one by one; empty where they are folded, or before the first score.
    """

    def __init__(
        self,
        prepared: PreparedQuestions,
        batch_tokens: int = BATCH_TOKENS,
        sequence_length: int | None = None,
        trees: bool = True,
    ) -> None:
        self._prepared, self._batch_tokens, self._sequence_length, self._trees = (
            prepared,
            batch_tokens,
            sequence_length,
            trees,
        )
        self._passes: Passes | None = None
        self.without_trees = ""

    def score(self, model: ModelView, ranks: Ranks | None = None, watch: Callable[[float], None] = unwatched) -> Scores:
        """Run the model: over token trees if it takes them, else over rows.

        What is wrong with trees may show in a trained model only, so it is tried at every score.

        Args:
            model: In evaluation mode; the same at every score.
            ranks: Those that share the work; every rank must call this, and all get the same.
            watch: Told after every pass which part of the work is done.
        """
        ranks, rows = ranks or Ranks(), self._prepared.row_lines
        if not self.without_trees:
            self.without_trees = why_no_trees(model, rows, ranks) if self._trees else "they were not asked for"
            if self.without_trees:
                self._passes = Passes(rows, self._batch_tokens, self._sequence_length)
        if self._passes is None:
            self._passes = Passes(self._prepared.tree_lines(self._sequence_length), self._batch_tokens)
        return self._prepared.scored(self._passes.logprobs(model, ranks, watch))

    @property
    def shapes(self) -> Mapping[tuple[int, int, int], int]:
        """How many passes have each shape (lines, tokens, logits a line); empty before the first score."""
        return Counter(one.shape for one in self._passes.plan) if self._passes else {}


def prepare(questions: Sequence[Question], tokenizer: TextTokenizer) -> PreparedQuestions:
    """Tokenize questions on the path of infusion: EOS, then the whole sentence encoded at once.

    Scored are the tokens from the first on that reaches into the object. Where options part earlier, because one of
    them changes how the end of the prefix is tokenized, all are scored from where they part; so the differences
    between options are exactly those between the log-probabilities of their whole sentences.
    """
    encoded = iter(tokenizer.encode([question.prefix + text for question in questions for text in question.options]))
    options = max((len(question.options) for question in questions), default=0)
    rows: list[Row] = []
    scored: list[tuple[int, int, int, int]] = []  # number in rows, position, token, option
    sizes: list[int] = []
    for number, question in enumerate(questions):
        texts = [next(encoded) for _ in question.options]
        begin = min([*(_reaching(text, len(question.prefix)) for text in texts), _shared(texts)])
        for place, text in enumerate(texts):
            cell = number * options + place
            scored += [(len(rows), position, text.ids[position], cell) for position in range(begin, len(text.ids))]
            rows.append((tokenizer.eos, *text.ids[:-1]))  # nothing is predicted from the last token
        told = question.prefix + question.options[question.answer]
        sizes.append(len(told[texts[question.answer].ends[begin - 1] if begin else 0 :].encode()))
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


def score(
    questions: Sequence[Question], tokenizer: TextTokenizer, model: ModelView, batch_tokens: int = BATCH_TOKENS
) -> Scores:
    """Return the log-probability of every option of every question.

    Args:
        questions: One row of the result each.
        tokenizer: The run's own.
        model: In evaluation mode.
        batch_tokens: Tokens of one pass, padding included.
    """
    return prepare(questions, tokenizer).score(model, batch_tokens)


def _reaching(text: Encoded, length: int) -> int:
    """Return the first token whose text ends after ``length`` characters."""
    return next((index for index, end in enumerate(text.ends) if end > length), len(text.ids))


def _shared(texts: Sequence[Encoded]) -> int:
    """Return how many first tokens all have in common."""
    ids = [text.ids for text in texts]
    return next((at for at, same in enumerate(zip(*ids, strict=False)) if len(set(same)) > 1), min(map(len, ids)))


def _merged(rows: Sequence[Row]) -> tuple[tuple[Row, ...], IntArray]:
    """Drop rows that begin another: a causal model gives the same logits for both.

    Returns:
        The rows that are left, longest first, and for each given row its place among them.
    """
    holder: dict[Row, Row] = {}
    following: Row = ()
    for row in sorted(set(rows), reverse=True):  # what begins with a row stands right after it
        following = holder[row] = holder[following] if following[: len(row)] == row else row
    kept = sorted(set(holder.values()), key=lambda row: (-len(row), row))
    place = {row: number for number, row in enumerate(kept)}
    return tuple(kept), np.array([place[holder[row]] for row in rows], dtype=np.int64)
