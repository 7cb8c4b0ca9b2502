"""Loss on held-out general text, measured by KIS itself: what a run forgets beside facts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kis_plugin.probing.general_text import opening
from kis_plugin.probing.lines import RowLines
from kis_plugin.probing.passes import BATCH_TOKENS, Passes
from kis_plugin.probing.scoring import unwatched
from kis_plugin.run import TrainingRun
from kis_plugin.runlog import GENERAL, Loss
from kis_plugin.seeded import IntArray
from kis_plugin.sentences import TextTokenizer

__all__ = ["ROWS", "GeneralText"]

ROWS = 64
"""Rows that are scored at most: the first of the text."""


class GeneralText:
    """The beginning of some text in rows, as a run trains on them: documents, EOS before each and after the last.

    Every token after the first EOS is scored once, in the row whose tokens stand before it; EOS too.

    Args:
        path: The text.
        tokenizer: The run's own.
        block: Tokens a row, T.
        batch_tokens: Tokens of one pass, padding included; None for a number that does well.

    Attributes:
        tokens: (scored,) token ids.
        bytes: UTF-8 bytes of their text; EOS has none.

    Raises:
        KISError: No text, or everything wrong with what was read of it.
    """

    def __init__(self, path: Path, tokenizer: TextTokenizer, block: int, batch_tokens: int | None = None) -> None:
        ids, self.bytes = opening(path, tokenizer, ROWS * block + 1)
        self.tokens: IntArray = ids[1:]
        starts = range(0, len(self.tokens), block)
        rows = [tuple(ids[start : min(start + block, len(self.tokens))].tolist()) for start in starts]
        at = np.arange(len(self.tokens), dtype=np.int64)
        self._passes = Passes(RowLines(rows, at // block, at % block, self.tokens), batch_tokens or BATCH_TOKENS, block)

    def loss(self, run: TrainingRun, step: int) -> Loss | None:
        """Score all rows; every rank must call this, and all get the same.

        Returns:
            Mean nats per token, EOS included, with ``bits_per_byte`` (all bits over the bytes of the text) and
            ``tokens_scored``; None where it is no number, as for a model that diverged.
        """
        with run.model.evaluating():
            nats = -float(self._passes.logprobs(run.model, run.ranks, unwatched).sum())
        if not np.isfinite(nats):
            return None
        extra = {"bits_per_byte": nats / np.log(2) / self.bytes, "tokens_scored": len(self.tokens)}
        loss = nats / len(self.tokens)
        return Loss(step=step, tokens=run.tokens_at(step), split=GENERAL, loss=loss, extra=extra)
