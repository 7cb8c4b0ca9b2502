"""Which rows go into which forward pass: few shapes, the longest rows first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kis_plugin.hashing import IntArray

__all__ = ["BATCH_TOKENS", "ForwardPass", "bucket", "plan_passes"]

BATCH_TOKENS = 2048
"""Tokens of one pass by default, padding included."""


@dataclass(frozen=True)
class ForwardPass:
    """One forward pass of a fixed shape.

    Attributes:
        rows: Which batch rows. The last one may be repeated, to round their number up.
        width: Tokens that they are padded to.
        tail: Positions, counted from the end of a row, whose logits are needed.
    """

    rows: tuple[int, ...]
    width: int
    tail: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """What a compiled model specialises on: rows, tokens, logits a row."""
        return len(self.rows), self.width, self.tail


def bucket(length: int) -> int:
    """Round a length up to one of few: multiples of 8, then four lengths to each doubling."""
    step = max(8, 1 << max((length - 1).bit_length() - 3, 0))
    return -(-length // step) * step


def plan_passes(
    lengths: IntArray, tails: IntArray, batch_tokens: int, sequence_length: int | None = None, rounded: bool = False
) -> tuple[ForwardPass, ...]:
    """Assign rows to passes, the longest first, so that a lack of memory shows at once.

    A compiled model meets few shapes, and the same ones at every evaluation: there are few widths, each has one number
    of rows, and only its last pass may have another.

    Args:
        lengths: (rows,) tokens.
        tails: (rows,) positions, counted from the end, whose logits are needed.
        batch_tokens: Tokens of a pass, padding included; a single row may be longer.
        sequence_length: Rows are not padded beyond it.
        rounded: Give passes a power of two of rows, which keeps shapes few where the rows differ every time.
    """
    widths = np.array([bucket(int(length)) for length in lengths], dtype=np.int64)
    if sequence_length is not None:
        widths = np.minimum(widths, np.maximum(lengths, sequence_length))
    order = np.lexsort((-tails, -widths))
    passes: list[ForwardPass] = []
    start = 0
    while start < len(order):
        width = int(widths[order[start]])
        most = max(batch_tokens // width, 1)
        # A pass may mix widths: rows narrower than its first one are padded to it.
        some = order[start : start + (1 << (most.bit_length() - 1) if rounded else most)]
        start += len(some)
        rows = some.tolist()
        rows += rows[-1:] * ((1 << (len(rows) - 1).bit_length()) - len(rows) if rounded else 0)
        passes.append(ForwardPass(tuple(rows), width, min(bucket(int(tails[some].max())), width)))
    return tuple(passes)
