"""Checks, at the first infused batches, that the model gets what was planned: token ids and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.infusion.exposure_counter import Match
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.run.ranks import Ranks
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["DeliveryCheck"]

_ROWS = 4  # infused rows over all ranks that decide
_SILENT_STEPS = 3  # without any batch: a host may report one a step late
_SHOWN = 24  # tokens of a row in an error
_IGNORED = -100  # a label without loss, in every framework that has one
_HINT = (
    "Something between the dataset and the model changes rows: a collator that masks or cuts tokens, a model that gets "
    "embeddings in place of ids, or a loss of your own."
)


class _Expected(NamedTuple):
    """An infused row that a loader has fetched, and after how many more fetched rows it must have been trained on."""

    row: int
    due: int
    texts: int


class DeliveryCheck:
    """Follows the first infused rows from the loader to the model.

    A loader fetches ahead, so a row comes some batches after it was announced. How far ahead is seen at the first
    batch: a row that has not come when more than twice as many rows were fetched after it will not come. The run stops
    if that holds for most of the first infused rows, or if one of them has other labels than planned.

    Args:
        plan: Says what tokens a row should hold.
        tokenizer: Makes the tokens readable in an error.
        ranks: The processes that decide together.

    Attributes:
        done: Whether enough rows came as planned.
    """

    def __init__(self, plan: InfusionPlan, tokenizer: TextTokenizer, ranks: Ranks) -> None:
        self._plan, self._tokenizer, self._ranks = plan, tokenizer, ranks
        self._fetched = 0
        self._ahead: int | None = None  # rows fetched when the first batch came, and two batches for safety
        self._waiting: dict[int, _Expected] = {}
        self._came = self._missing = 0  # rows judged on this rank
        self._first_missing: int | None = None
        self._last_batch: npt.NDArray[np.int64] | None = None
        self._label_problem: Problem | None = None
        self._silent_steps = 0  # before the first batch
        self.done = not plan.infused_rows

    def fetched(self, rows: Sequence[int]) -> None:
        """Note rows that the loader has fetched."""
        for row in rows:
            self._fetched += 1
            if len(self._waiting) < 2 * _ROWS and (numbers := self._plan.texts_in(row)) is not None:
                texts = len(numbers) if self._plan.placement.anywhere else 1
                self._waiting.setdefault(row, _Expected(row, self._fetched, texts))

    def seen(
        self, input_ids: npt.NDArray[np.int64], labels: npt.NDArray[np.int64] | None, matches: Sequence[Match]
    ) -> None:
        """Note a batch that the model got, (rows, T), and the planned texts that were found in it."""
        if self._ahead is None:
            self._ahead = 2 * self._fetched + 2 * len(input_ids)
        self._last_batch = input_ids
        for match in matches:
            expected = self._waiting.get(match.row)
            if expected is None:
                continue
            if labels is not None:
                self._check_labels(match, input_ids, labels)
            if expected.texts > 1:
                self._waiting[match.row] = expected._replace(texts=expected.texts - 1)
            else:
                del self._waiting[match.row]
                self._came += 1
        self._miss([one.row for one in self._waiting.values() if self._fetched > one.due + self._ahead])

    def decide(self) -> None:
        """Stop the run, or note that rows come as planned; every rank must call it at the end of a step.

        Raises:
            KISError: Rows that did not come as planned, with what was planned and what came.
        """
        self._silent_steps += self._ahead is None
        if self._silent_steps >= _SILENT_STEPS and self._ahead is None:  # a model that gets no ids at all
            self._miss(list(self._waiting))
        found = np.array([self._came, self._missing, self._label_problem is not None], dtype=np.int64)
        came, missing, labels = self._ranks.sum(found).tolist()
        if labels:
            elsewhere = Problem(
                "labels of infused rows", "others than planned, on another rank", "those planned", _HINT
            )
            raise KISError(self._label_problem or elsewhere)
        if came + missing < _ROWS:
            return
        if missing > came:
            raise KISError(self._not_delivered(missing, came + missing))
        self.done = True

    def _miss(self, rows: Sequence[int]) -> None:
        for row in rows:
            del self._waiting[row]
            self._missing += 1
            self._first_missing = row if self._first_missing is None else self._first_missing

    def _check_labels(self, match: Match, ids: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> None:
        """Compare the labels of a text with its tokens: at the same place, or one before where labels are shifted.

        Which of the two a host uses is read off the base text of the batch. EOS may be without loss: collators that
        mask padding mask it where a tokenizer pads with EOS. A row's first token is no target either way.
        """
        shift = _label_shift(ids, labels)
        start = match.place - shift
        cut = int(match.place == 0)
        found = labels[match.batch_row, start + cut : start + match.length]
        tokens = ids[match.batch_row, match.place + cut : match.place + match.length]
        targets = self._plan.targets(match.numbers)[cut:]
        wanted = np.where(targets, tokens, _IGNORED)
        wrong = np.flatnonzero((found != wanted) & ~((tokens == self._tokenizer.eos) & (found == _IGNORED)))
        if len(wrong) and self._label_problem is None:
            at = int(wrong[0])
            self._label_problem = Problem(
                f"labels of infused row {match.row} of the run",
                f"{found[at : at + 8].tolist()} from token {at} of the text on ({self._text(tokens)!r})",
                f"{wanted[at : at + 8].tolist()}",
                _HINT,
            )

    def _not_delivered(self, missing: int, judged: int) -> Problem:
        row = self._first_missing
        numbers = None if row is None else self._plan.texts_in(row)
        planned = "what is planned there" if numbers is None else repr(self._text(self._plan.tokens(numbers)))
        where = "infused rows" if row is None else f"infused row {row} of the run"
        last = self._last_batch
        came = "no batch" if last is None else f"such rows as {self._text(last[0])!r}"
        found = f"{missing} of the first {judged} infused rows not in what the model was given, but {came}"
        return Problem(where, found, planned, _HINT)

    def _text(self, ids: npt.NDArray[np.integer]) -> str:
        some = [token for token in ids[:_SHOWN].tolist() if token >= 0]
        return self._tokenizer.decode(some)


def _label_shift(ids: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> int:
    """Return 0 where labels stand at their token, 1 where each stands one place before it, by most of a batch."""
    used = labels != _IGNORED
    same = int((used & (labels == ids)).sum())
    shifted = int((used[:, :-1] & (labels[:, :-1] == ids[:, 1:])).sum())
    return int(shifted > same)
