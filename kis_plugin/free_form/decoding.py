"""Greedy decoding with drafts: many tokens of an answer in one forward pass.

The model sees each question with a draft of its right answer. One pass gives the likeliest token at every position; as
long as these are the draft's tokens, greedy decoding would have generated the draft (the idea of speculative decoding,
Leviathan et al. 2023, arXiv 2211.17192, with the known answer in the place of a draft model). Where the model leaves
the draft, the text usually shows that the answer can no longer become right. Where it still can (another spelling, an
alias), the next pass continues from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from kis_plugin.free_form.matching import Verdict
from kis_plugin.free_form.prompts import BoolArray, PreparedPrompts
from kis_plugin.retention.scoring.batch_plan import BATCH_TOKENS
from kis_plugin.retention.scoring.batch_rows import PlainRows, TreeRows, why_no_trees
from kis_plugin.retention.scoring.forward_passes import NO_TOKEN, ForwardPasses
from kis_plugin.retention.scoring.prefix_trees import Row, fold
from kis_plugin.run.model_view import ModelView
from kis_plugin.run.ranks import Ranks

__all__ = ["Decoder"]


class Decoder:
    """Generates the answers to the same questions, as often as needed.

    Args:
        prepared: The questions.
        sequence_length: The most tokens that the model sees at once; no question is longer.
        batch_tokens: Tokens of one pass, padding included; a single row may be longer.
        trees: Whether to fold rows into prefix trees where the model takes them. Only the needed logits are then
            computed, otherwise those of whole rows.

    Attributes:
        without_trees: Why rows are not folded; empty where they are, and before the first evaluation.
        shapes: How many passes of the first round have each shape (rows, tokens, logits a row): the same at every
            evaluation. Later rounds, for answers that leave their drafts, are not included.
    """

    def __init__(
        self, prepared: PreparedPrompts, sequence_length: int, batch_tokens: int = BATCH_TOKENS, trees: bool = True
    ) -> None:
        self._prepared, self._sequence_length, self._batch_tokens = prepared, sequence_length, batch_tokens
        self._max_rows: int | None = None  # rows of a pass that fit into memory
        self.without_trees = "" if trees else "they were not requested"
        self.shapes: Mapping[tuple[int, int, int], int] = {}

    def answer(self, model: ModelView, ranks: Ranks | None = None) -> tuple[BoolArray, BoolArray, BoolArray]:
        """Let the model answer all questions.

        Args:
            model: In evaluation mode.
            ranks: Those that share the passes; every rank must call this, and all get the same.

        Returns:
            (questions,) whether the answer is one of the right names; (questions,) whether it is the object to the
            letter; (questions,) whether all logits were numbers.
        """
        ranks = ranks or Ranks()
        found = np.zeros(len(self._prepared.prompts), dtype=np.int64)
        finite = np.ones(len(found), dtype=np.bool_)
        generated: dict[int, Row] = dict.fromkeys(range(len(found)), ())  # by question, those that are still open
        first_round = True
        while generated:
            for place, tokens in self._continued(model, ranks, generated, first_round):
                finite[place] &= NO_TOKEN not in tokens
                longer = generated[place] + tokens
                verdict, generated[place] = self._prepared.judged(place, longer, self._sequence_length)
                if verdict is not Verdict.OPEN:
                    found[place] = verdict
                    del generated[place]
            first_round = False
        return found >= Verdict.ALIAS, found == Verdict.EXACT, finite

    def _continued(
        self, model: ModelView, ranks: Ranks, generated: Mapping[int, Row], first_round: bool
    ) -> list[tuple[int, Row]]:
        """Return the next tokens of each open answer: one at least."""
        prompts = self._prepared.prompts
        inputs = {place: prompts[place].next(tokens, self._sequence_length) for place, tokens in generated.items()}
        places = sorted(inputs, key=lambda place: -len(inputs[place]))  # the longest first, as why_no_trees needs
        rows = [inputs[place] for place in places]
        firsts = [len(prompts[place].row) + len(generated[place]) for place in places]
        plain = _from_positions(rows, firsts)
        if first_round and not self.without_trees:
            self.without_trees = why_no_trees(model, plain, ranks)
        passes = self._passes(plain)
        if first_round:
            self.shapes = Counter(one.shape for one in passes.plan)
        likeliest = passes.likeliest(model, ranks).tolist()
        self._max_rows = passes.max_rows
        found, at = [], 0
        for place, row, first in zip(places, rows, firsts, strict=True):
            draft = row[first:]
            tokens = likeliest[at : at + len(draft) + 1]
            at += len(draft) + 1
            # Positions after the first deviation are conditioned on draft tokens that the model did not generate.
            kept = next((n for n, token in enumerate(draft) if token != tokens[n]), len(draft))
            found.append((place, (*draft[:kept], tokens[kept])))
        return found

    def _passes(self, plain: PlainRows) -> ForwardPasses:
        if self.without_trees:
            return ForwardPasses(plain, self._batch_tokens, self._sequence_length, True, self._max_rows)
        folded = fold(plain.rows, plain.batch_row, plain.position, self._sequence_length)
        return ForwardPasses(TreeRows(folded, plain.token), self._batch_tokens, None, True, self._max_rows)


def _from_positions(rows: Sequence[Row], firsts: Sequence[int]) -> PlainRows:
    """Return rows whose scored positions predict the tokens from ``firsts`` on and the one after each row."""
    places = [np.arange(first - 1, len(row)) for row, first in zip(rows, firsts, strict=True)]
    number = np.repeat(np.arange(len(rows)), [len(some) for some in places])
    unknown = np.zeros_like(number)  # the tokens themselves are what is to be found
    return PlainRows(rows, number, np.concatenate(places), unknown)
