"""Forward passes over lines of tokens: in few shapes, shared by ranks, smaller where memory does not suffice."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.run.model_view import ModelView, ShardedView
from kis_plugin.run.ranks import Ranks

__all__ = ["BATCH_TOKENS", "NO_TOKEN", "Lines", "Pass", "Passes", "bucket", "gathered", "plan_passes"]

FloatArray = npt.NDArray[np.float64]

BATCH_TOKENS = 2048
"""Tokens of one pass, padding included, where nobody says otherwise."""
NO_TOKEN = -1
"""The likeliest token where logits are no numbers."""
_POSITIONS = 1024  # whose logits, (positions, V), are looked at together: in float32 they take twice the room

Read = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes logits, (B, last, V), and of each scored token its line, column and id; returns what is asked: (scored,)."""


class Lines(Protocol):
    """Lines of tokens for the model, and where in them scored tokens are predicted.

    Attributes:
        lengths: (lines,) tokens of each.
        asked: (lines,) places of each, counted from its end, whose logits may be needed.
        line: (scored,) whose line each scored token is in, sorted.
        token: (scored,) its id.
        order: (scored,) the place of each scored token in the order that its owner has them in.
    """

    lengths: IntArray
    asked: IntArray
    line: IntArray
    token: IntArray
    order: IntArray

    def logits(self, model: ModelView, lines: IntArray, width: int, last: int) -> torch.Tensor:
        """Run the model: (lines, last, V), for the last places of lines that are padded to ``width`` tokens."""

    def columns(self, scored: slice, width: int, last: int) -> IntArray:
        """Return the column of those logits that predicts each of some scored tokens: (scored,)."""


@dataclass(frozen=True)
class Pass:
    """One forward pass of a fixed shape.

    Attributes:
        lines: Which lines; the last one again where it is there to round their number.
        width: Tokens that they are padded to.
        last: Places from the end whose logits are asked for.
    """

    lines: tuple[int, ...]
    width: int
    last: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """What a compiled model sees: lines, tokens, logits."""
        return len(self.lines), self.width, self.last


def bucket(length: int) -> int:
    """Return the least of few lengths that is not below: multiples of 8, then four to each doubling."""
    step = max(8, 1 << max((length - 1).bit_length() - 3, 0))
    return -(-length // step) * step


def plan_passes(
    lengths: IntArray, asked: IntArray, batch_tokens: int, sequence_length: int | None = None, rounded: bool = False
) -> tuple[Pass, ...]:
    """Share lines out among passes: the longest first, so that what memory does not take shows at once.

    A compiled model meets few shapes, and meets the same ones at every evaluation: the widths are few, each has one
    number of lines, and the last pass another.

    Args:
        lengths: (lines,)
        asked: (lines,)
        batch_tokens: Tokens of a pass, padding included; a single line may be longer.
        sequence_length: Lines are not padded beyond it.
        rounded: Passes have powers of two of lines: shapes stay few where other lines are planned every time.
    """
    widths = np.array([bucket(int(length)) for length in lengths], dtype=np.int64)
    if sequence_length is not None:
        widths = np.minimum(widths, np.maximum(lengths, sequence_length))
    order = np.lexsort((-asked, -widths))
    passes: list[Pass] = []
    start = 0
    while start < len(order):
        width = int(widths[order[start]])
        most = max(batch_tokens // width, 1)
        some = order[start : start + (1 << (most.bit_length() - 1) if rounded else most)]
        start += len(some)
        lines = some.tolist()
        lines += lines[-1:] * ((1 << (len(lines) - 1).bit_length()) - len(lines) if rounded else 0)
        passes.append(Pass(tuple(lines), width, min(bucket(int(asked[some].max())), width)))
    return tuple(passes)


class Passes:
    """What a model says at the places of scored tokens, again and again.

    Ranks take passes in turn, each as many: one that has none left runs a pass whose result nobody takes, since ranks
    that hold parts of a model must run together. All ranks get the same.

    Args:
        lines: What the model is shown.
        batch_tokens: Tokens of a pass, padding included.
        sequence_length: Lines are not padded beyond it.
        rounded: As in ``plan_passes``.
        most: Lines that memory is known to take; None if nothing is known.

    Attributes:
        plan: The passes.
        most: Lines that memory was found to take.
    """

    def __init__(
        self,
        lines: Lines,
        batch_tokens: int,
        sequence_length: int | None = None,
        rounded: bool = False,
        most: int | None = None,
    ) -> None:
        self.plan = plan_passes(lines.lengths, lines.asked, batch_tokens, sequence_length, rounded)
        self._lines = lines
        self._starts = np.searchsorted(lines.line, np.arange(len(lines.lengths) + 1))
        self.most = most or max((len(one.lines) for one in self.plan), default=1)

    def logprobs(self, model: ModelView, ranks: Ranks, watch: Callable[[float], None]) -> FloatArray:
        """Return the log-probability of every scored token in its owner's order, (scored,), in nats.

        Args:
            model: In evaluation mode.
            ranks: Every rank calls this.
            watch: Told the part of the work done by each round of passes.
        """
        return self._all(model, ranks, _logprobs, watch)

    def likeliest(self, model: ModelView, ranks: Ranks) -> IntArray:
        """Return the likeliest token in the place of every scored one, in its owner's order: (scored,).

        Of several it is the first; where logits are no numbers it is ``NO_TOKEN``.

        Args:
            model: In evaluation mode.
            ranks: Every rank calls this.
        """
        return self._all(model, ranks, _likeliest, lambda part: None).astype(np.int64)

    def _all(self, model: ModelView, ranks: Ranks, read: Read, watch: Callable[[float], None]) -> FloatArray:
        found = np.zeros(len(self._lines.token), dtype=np.float64)
        for first in range(0, len(self.plan), ranks.data_size):
            mine = first + ranks.data_rank
            scored, values = self._run(model, self.plan[min(mine, len(self.plan) - 1)], read)
            if mine < len(self.plan):
                found[self._lines.order[scored]] = values
            watch(min(first + ranks.data_size, len(self.plan)) / len(self.plan))
        return gathered(found, ranks)

    def _run(self, model: ModelView, one: Pass, read: Read) -> tuple[IntArray, FloatArray]:
        """Return the scored tokens of a pass and what is asked of them."""
        while True:
            parts = [one.lines[at : at + self.most] for at in range(0, len(one.lines), self.most)]
            try:
                found = [self._part(model, part, one, read) for part in parts]
                return np.concatenate([scored for scored, _ in found]), np.concatenate([values for _, values in found])
            except (torch.cuda.OutOfMemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                # Ranks that share a model wait for each other inside a pass: one alone cannot run it in two halves.
                if (isinstance(model, ShardedView) and model.together) or self.most == 1:
                    raise _no_room(one) from error
            self.most = max(min(self.most, len(one.lines)) // 2, 1)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _part(self, model: ModelView, part: Sequence[int], one: Pass, read: Read) -> tuple[IntArray, FloatArray]:
        lines = np.array(part, dtype=np.int64)
        with torch.no_grad():
            logits = self._lines.logits(model, lines, one.width, one.last)  # (B, last, V)
            spans = [slice(self._starts[line], self._starts[line + 1]) for line in part]
            scored = np.concatenate([np.arange(span.start, span.stop) for span in spans])
            columns = np.concatenate([self._lines.columns(span, one.width, one.last) for span in spans])
            rows = np.repeat(np.arange(len(part)), [span.stop - span.start for span in spans])
            row, column, token = (
                torch.from_numpy(indices).to(logits.device) for indices in (rows, columns, self._lines.token[scored])
            )
            values = read(logits, row, column, token)  # (scored,)
        return scored, values.double().cpu().numpy()


def _logprobs(logits: torch.Tensor, row: torch.Tensor, column: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    flat, last = logits.flatten(0, 1), logits.shape[1]  # (B * last, V)
    starts = range(0, len(flat), _POSITIONS)
    normal = torch.cat([flat[at : at + _POSITIONS].float().logsumexp(dim=1) for at in starts])  # (B * last,)
    return logits[row, column, token].float() - normal[row * last + column]


def _likeliest(logits: torch.Tensor, row: torch.Tensor, column: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    found = []
    for at in range(0, len(row), _POSITIONS):
        value, best = logits[row[at : at + _POSITIONS], column[at : at + _POSITIONS]].max(dim=1)  # (places,) each
        found.append(best.masked_fill(value.isnan(), NO_TOKEN))
    return torch.cat(found)


def gathered(values: FloatArray, ranks: Ranks) -> FloatArray:
    """Return what all ranks found, each at its own places and 0 elsewhere, to the last bit."""
    if ranks.data_size == 1:
        return values
    return ranks.sum(values.view(np.int64)).view(np.float64)


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def _no_room(one: Pass) -> KISError:
    found = f"no memory for {len(one.lines)} lines of {one.width} tokens"
    hint = "Set retention.batch_tokens to less."
    return KISError(Problem("retention", found, "room to evaluate in", hint))
