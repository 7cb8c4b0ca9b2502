"""Loss on held-out general text, measured by KIS itself: whether a run forgets language beside facts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kis_plugin.hashing import IntArray
from kis_plugin.retention.general_text import excerpts
from kis_plugin.retention.scoring.batch_plan import BATCH_TOKENS
from kis_plugin.retention.scoring.batch_rows import PlainRows
from kis_plugin.retention.scoring.forward_passes import ForwardPasses
from kis_plugin.retention.scoring.scorer import no_progress
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.log import GENERAL, Loss
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["ROWS", "GeneralText"]

ROWS = 64
"""The most rows that are scored."""


class GeneralText:
    """Rows of general text, built as training rows are: documents with EOS before each and after the last.

    Every token of a row but the first is scored given those before it, EOS too. No token is scored twice.

    Args:
        path: The text.
        tokenizer: The run's own.
        sequence_length: Tokens a row, T.
        batch_tokens: Tokens of one pass, padding included; None for the default.

    Attributes:
        tokens: (scored,) token ids.
        bytes: UTF-8 bytes of their text; EOS has none.

    Raises:
        KISError: No text, or everything wrong with what was read of it.
    """

    def __init__(
        self, path: Path, tokenizer: TextTokenizer, sequence_length: int, batch_tokens: int | None = None
    ) -> None:
        rows = excerpts(path, tokenizer, ROWS, sequence_length)
        self.bytes = sum(row.bytes for row in rows)
        self.tokens: IntArray = np.concatenate([row.ids[1:] for row in rows])
        lengths = [len(row.ids) - 1 for row in rows]
        number = np.repeat(np.arange(len(rows)), lengths)
        position = np.concatenate([np.arange(length) for length in lengths])
        plain = PlainRows([tuple(row.ids[:-1].tolist()) for row in rows], number, position, self.tokens)
        self._passes = ForwardPasses(plain, batch_tokens or BATCH_TOKENS, sequence_length)

    def loss(self, run: TrainingRun, step: int) -> Loss | None:
        """Score all rows; every rank must call this, and all get the same.

        Returns:
            Mean nats per token, EOS included, with ``bits_per_byte`` (all bits over the bytes of the text) and
            ``tokens_scored``; None where it is NaN or infinite: the model has diverged.
        """
        with run.model.evaluating():
            nats = -float(self._passes.logprobs(run.model, run.ranks, no_progress).sum())
        if not np.isfinite(nats):
            return None
        extra = {"bits_per_byte": nats / np.log(2) / self.bytes, "tokens_scored": len(self.tokens)}
        loss = nats / len(self.tokens)
        return Loss(step=step, tokens=run.tokens_at(step), split=GENERAL, loss=loss, extra=extra)
