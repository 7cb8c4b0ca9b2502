"""Log-probabilities of options: exact, in few passes. The one module of the core that needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from kis_plugin.probing.probes import Question
from kis_plugin.run import ModelView
from kis_plugin.seeded import IntArray
from kis_plugin.sentences import Encoded, TextTokenizer

__all__ = ["PreparedQuestions", "Scores", "prepare", "score"]

BATCH_TOKENS = 2048
_MULTIPLE = 8  # rows are padded to a multiple, so that compiled models see few shapes
_POSITIONS = 1024  # positions whose logits, (positions, V), are taken to float32 at a time

FloatArray = npt.NDArray[np.float64]
Row = tuple[int, ...]


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

    def score(self, model: ModelView, batch_tokens: int = BATCH_TOKENS, block: int | None = None) -> Scores:
        """Run the model.

        Args:
            model: In evaluation mode.
            batch_tokens: Rows times padded length of one pass, at most; a single row may be longer.
            block: The longest row that the model takes; rows are not padded beyond.
        """
        logprobs = np.empty(len(self.token), dtype=np.float64)
        start = 0
        while start < len(self.rows):
            longest = len(self.rows[start])
            width = -(-longest // _MULTIPLE) * _MULTIPLE
            width = width if block is None or width <= block else longest
            stop = min(start + max(batch_tokens // width, 1), len(self.rows))
            ids = torch.zeros((stop - start, width), dtype=torch.int64)  # (B, T)
            for place, row in enumerate(self.rows[start:stop]):
                ids[place, : len(row)] = torch.tensor(row)
            low, high = np.searchsorted(self.row, (start, stop)).tolist()
            with torch.no_grad():
                logits = model.logits(ids)  # (B, T, V)
                logprobs[low:high] = self._token_logprobs(logits, start, low, high)
            start = stop
        cells = len(self.answers) * self.options
        sums = np.zeros(cells)
        np.add.at(sums, self.option, logprobs)
        totals: FloatArray = sums.reshape(len(self.answers), self.options)
        totals[np.arange(self.options) >= self.counts[:, None]] = -np.inf
        return Scores(totals, self.answers)

    def _token_logprobs(self, logits: torch.Tensor, start: int, low: int, high: int) -> FloatArray:
        """Log-probabilities of scored tokens ``low`` to ``high``, whose rows' logits begin with row ``start``."""
        parts = []
        for at in range(low, high, _POSITIONS):
            part = slice(at, min(at + _POSITIONS, high))
            row, position, token = (
                torch.from_numpy(indices[part]).to(logits.device)
                for indices in (self.row - start, self.position, self.token)
            )
            scored = logits[row, position].float()  # (scored, V)
            parts.append(scored.gather(1, token[:, None])[:, 0] - scored.logsumexp(dim=1))
        return torch.cat(parts).double().cpu().numpy() if parts else np.empty(0)


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
    for number, question in enumerate(questions):
        texts = [next(encoded) for _ in question.options]
        begin = min([*(_reaching(text, len(question.prefix)) for text in texts), _shared(texts)])
        for place, text in enumerate(texts):
            cell = number * options + place
            scored += [(len(rows), position, text.ids[position], cell) for position in range(begin, len(text.ids))]
            rows.append((tokenizer.eos, *text.ids[:-1]))  # nothing is predicted from the last token
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
