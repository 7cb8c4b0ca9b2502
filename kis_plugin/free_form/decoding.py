"""Answers in words of the model's own: greedy decoding, many tokens a pass.

A question is shown with a draft of its right answer. One pass gives the likeliest token at every place; as long as that
is the draft's, the draft is what greedy decoding says (the idea of speculative decoding, Leviathan et al. 2023, arXiv
2211.17192, with the answer as the drafter). Where it leaves the draft the text says most often that the answer cannot
become right any more; where it still may (another spelling, another name), the next pass goes on from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from kis_plugin.free_form.matching import Verdict
from kis_plugin.free_form.prompts import BoolArray, PreparedAnswers
from kis_plugin.retention.scoring.batch_rows import RowLines, TreeLines, why_no_trees
from kis_plugin.retention.scoring.forward_passes import BATCH_TOKENS, Passes
from kis_plugin.retention.scoring.prefix_trees import Row, fold
from kis_plugin.run.model_view import ModelView
from kis_plugin.run.ranks import Ranks

__all__ = ["Decoder"]


class Decoder:
    """Has the same questions answered again and again.

    Args:
        prepared: What is asked.
        sequence_length: Tokens that the model sees at once, at most; no question is longer.
        batch_tokens: Tokens of one pass, padding included; a single line may be longer.
        trees: Whether to fold rows into trees where the model takes them. Logits are then taken where a token is
            looked at only, else of whole rows.

    Attributes:
        without_trees: Why rows are shown one by one; empty where they are folded, or before the first answer.
        shapes: How many passes of the first round have each shape (lines, tokens, logits a line): the same at every
            evaluation. What answers that leave their drafts take is not in it.
    """

    def __init__(
        self, prepared: PreparedAnswers, sequence_length: int, batch_tokens: int = BATCH_TOKENS, trees: bool = True
    ) -> None:
        self._prepared, self._sequence_length, self._batch_tokens = prepared, sequence_length, batch_tokens
        self._most: int | None = None  # lines that memory takes
        self.without_trees = "" if trees else "they were not asked for"
        self.shapes: Mapping[tuple[int, int, int], int] = {}

    def answer(self, model: ModelView, ranks: Ranks | None = None) -> tuple[BoolArray, BoolArray]:
        """Let the model answer all questions.

        Args:
            model: In evaluation mode.
            ranks: Those that share the passes; every rank must call this, and all get the same.

        Returns:
            (questions,) whether the answer is one of the names; (questions,) whether it is the object to the letter.
        """
        ranks = ranks or Ranks()
        found = np.zeros(len(self._prepared.prompts), dtype=np.int64)
        said: dict[int, Row] = dict.fromkeys(range(len(found)), ())
        begins = True
        while said:
            for place, tokens in self._more(model, ranks, said, begins):
                verdict, said[place] = self._prepared.judged(place, said[place] + tokens, self._sequence_length)
                if verdict is not Verdict.OPEN:
                    found[place] = verdict
                    del said[place]
            begins = False
        return found >= Verdict.ALIAS, found == Verdict.EXACT

    def _more(self, model: ModelView, ranks: Ranks, said: Mapping[int, Row], begins: bool) -> list[tuple[int, Row]]:
        """Return what the model says next to each question that is open: one token at least."""
        prompts = self._prepared.prompts
        shown = {place: prompts[place].next(tokens, self._sequence_length) for place, tokens in said.items()}
        places = sorted(shown, key=lambda place: -len(shown[place]))  # the longest first, as why_no_trees asks
        rows = [shown[place] for place in places]
        firsts = [len(prompts[place].row) + len(said[place]) for place in places]
        lines = _asking(rows, firsts)
        if begins and not self.without_trees:
            self.without_trees = why_no_trees(model, lines, ranks)
        passes = self._passes(lines)
        if begins:
            self.shapes = Counter(one.shape for one in passes.plan)
        likeliest = passes.likeliest(model, ranks).tolist()
        self._most = passes.most
        found, at = [], 0
        for place, row, first in zip(places, rows, firsts, strict=True):
            draft = row[first:]
            tokens = likeliest[at : at + len(draft) + 1]
            at += len(draft) + 1
            kept = next((n for n, token in enumerate(draft) if token != tokens[n]), len(draft))
            found.append((place, (*draft[:kept], tokens[kept])))
        return found

    def _passes(self, lines: RowLines) -> Passes:
        if self.without_trees:
            return Passes(lines, self._batch_tokens, self._sequence_length, rounded=True, most=self._most)
        trees = TreeLines(fold(lines.rows, lines.line, lines.position, self._sequence_length), lines.token)
        return Passes(trees, self._batch_tokens, rounded=True, most=self._most)


def _asking(rows: Sequence[Row], firsts: Sequence[int]) -> RowLines:
    """Ask each row for its tokens from ``firsts`` on and the one after it, in the order of rows."""
    places = [np.arange(first - 1, len(row)) for row, first in zip(rows, firsts, strict=True)]
    number = np.repeat(np.arange(len(rows)), [len(some) for some in places])
    return RowLines(rows, number, np.concatenate(places), np.zeros_like(number))  # which tokens is what is asked
