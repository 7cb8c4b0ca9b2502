"""Runs forward passes: shared among ranks, and in smaller parts where memory does not suffice."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.retention.scoring.batch_plan import ForwardPass, plan_passes
from kis_plugin.run.model_view import ModelView, ShardedView
from kis_plugin.run.ranks import Ranks

__all__ = ["NO_TOKEN", "BatchRows", "ForwardPasses", "gathered", "is_out_of_memory"]

FloatArray = npt.NDArray[np.float64]

NO_TOKEN = -1
"""The likeliest token where logits are NaN or infinite."""
_POSITIONS = 1024  # positions whose logits, (positions, V), are converted to float32 together: it doubles their memory

Read = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes logits, (B, tail, V), and the row, column and id of each scored token; returns one value each: (scored,)."""


class BatchRows(Protocol):
    """Rows of tokens for the model, and where in them scored tokens are predicted.

    Attributes:
        lengths: (rows,) tokens of each.
        tails: (rows,) positions of each, counted from its end, whose logits may be needed.
        batch_row: (scored,) the row of each scored token, sorted.
        token: (scored,) its id.
        order: (scored,) the place of each scored token in its owner's order.
    """

    lengths: IntArray
    tails: IntArray
    batch_row: IntArray
    token: IntArray
    order: IntArray

    def logits(self, model: ModelView, rows: IntArray, width: int, tail: int) -> torch.Tensor:
        """Run the model: (rows, tail, V), for the last positions of rows that are padded to ``width`` tokens."""

    def columns(self, scored: slice, width: int, tail: int) -> IntArray:
        """Return the column of those logits that predicts each of some scored tokens: (scored,)."""


class ForwardPasses:
    """The model's output at the positions of scored tokens, as often as needed.

    Ranks take passes in turn, each the same number. A rank that has none left repeats one and drops its result, since
    ranks that hold parts of a model must run together. All ranks get the same values.

    Args:
        rows: The model's input.
        batch_tokens: Tokens of a pass, padding included.
        sequence_length: Rows are not padded beyond it.
        rounded: As in ``plan_passes``.
        max_rows: Rows of a pass that are known to fit into memory; None if nothing is known.

    Attributes:
        plan: The passes.
        max_rows: Rows of a pass that were found to fit into memory.
    """

    def __init__(
        self,
        rows: BatchRows,
        batch_tokens: int,
        sequence_length: int | None = None,
        rounded: bool = False,
        max_rows: int | None = None,
    ) -> None:
        self.plan = plan_passes(rows.lengths, rows.tails, batch_tokens, sequence_length, rounded)
        self._rows = rows
        self._starts = np.searchsorted(rows.batch_row, np.arange(len(rows.lengths) + 1))
        self.max_rows = max_rows or max((len(one.rows) for one in self.plan), default=1)

    def logprobs(self, model: ModelView, ranks: Ranks, progress: Callable[[float], None]) -> FloatArray:
        """Return the log-probability of every scored token in its owner's order, (scored,), in nats.

        It is NaN where any logit at that position is NaN or +inf.

        Args:
            model: In evaluation mode.
            ranks: Every rank calls this.
            progress: Called after each round of passes with the fraction of the work that is done.
        """
        return self._all(model, ranks, _logprobs, progress)

    def likeliest(self, model: ModelView, ranks: Ranks) -> IntArray:
        """Return the likeliest token in the place of every scored one, in its owner's order: (scored,).

        Of equally likely ones it is the first; where a logit is NaN or +inf it is ``NO_TOKEN``.

        Args:
            model: In evaluation mode.
            ranks: Every rank calls this.
        """
        return self._all(model, ranks, _likeliest, lambda part: None).astype(np.int64)

    def _all(self, model: ModelView, ranks: Ranks, read: Read, progress: Callable[[float], None]) -> FloatArray:
        found = np.zeros(len(self._rows.token), dtype=np.float64)
        for first in range(0, len(self.plan), ranks.data_size):
            mine = first + ranks.data_rank
            scored, values = self._run(model, self.plan[min(mine, len(self.plan) - 1)], read, ranks)
            if mine < len(self.plan):
                found[self._rows.order[scored]] = values
            progress(min(first + ranks.data_size, len(self.plan)) / len(self.plan))
        return gathered(found, ranks)

    def _run(self, model: ModelView, one: ForwardPass, read: Read, ranks: Ranks) -> tuple[IntArray, FloatArray]:
        """Return the scored tokens of a pass and what ``read`` gives for them; halve it until it fits into memory.

        Ranks that hold parts of a model wait for each other inside a forward pass. They agree on the number of parts
        before a pass and on whether it fitted after it, so that none runs a forward pass alone.
        """
        together = isinstance(model, ShardedView) and model.together
        while True:
            parts = math.ceil(len(one.rows) / self.max_rows)
            split = np.array_split(one.rows, ranks.greatest(parts) if together else parts)
            found: list[tuple[IntArray, FloatArray]] = []
            for part in split:
                # A rank with fewer rows than parts runs its first row again.
                result, failure = self._tried(model, part.tolist() or one.rows[:1], one, read)
                if ranks.greatest(int(failure is not None)) if together else failure:
                    break
                assert result is not None
                found.append(result)
            else:
                return np.concatenate([scored for scored, _ in found]), np.concatenate([values for _, values in found])
            rows = min(self.max_rows, len(one.rows))
            rows = min(self.max_rows, ranks.greatest(rows)) if together else rows
            if rows == 1:
                raise _no_room(one) from failure
            self.max_rows = max(rows // 2, 1)
            del failure  # its traceback holds the tensors of the pass
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _tried(
        self, model: ModelView, part: Sequence[int], one: ForwardPass, read: Read
    ) -> tuple[tuple[IntArray, FloatArray] | None, RuntimeError | None]:
        """Return what a part gives, or the error where memory did not suffice."""
        try:
            return self._part(model, part, one, read), None
        except (torch.cuda.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return None, error

    def _part(self, model: ModelView, part: Sequence[int], one: ForwardPass, read: Read) -> tuple[IntArray, FloatArray]:
        rows = np.array(part, dtype=np.int64)
        with torch.no_grad():
            logits = self._rows.logits(model, rows, one.width, one.tail)  # (B, tail, V)
            spans = [slice(self._starts[row], self._starts[row + 1]) for row in part]
            scored = np.concatenate([np.arange(span.start, span.stop) for span in spans])
            columns = np.concatenate([self._rows.columns(span, one.width, one.tail) for span in spans])
            places = np.repeat(np.arange(len(part)), [span.stop - span.start for span in spans])
            row, column, token = (
                torch.from_numpy(indices).to(logits.device) for indices in (places, columns, self._rows.token[scored])
            )
            values = read(logits, row, column, token)  # (scored,)
        return scored, values.double().cpu().numpy()


def _logprobs(logits: torch.Tensor, row: torch.Tensor, column: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    flat, tail = logits.flatten(0, 1), logits.shape[1]  # (B * tail, V)
    starts = range(0, len(flat), _POSITIONS)
    normal = torch.cat([flat[at : at + _POSITIONS].float().logsumexp(dim=1) for at in starts])  # (B * tail,)
    found = logits[row, column, token].float() - normal[row * tail + column]
    # The normaliser is finite unless one of the V logits is NaN or +inf, or all are -inf. A finite logit minus an
    # infinite normaliser would pass for an impossible token, so all such positions become NaN.
    return found.masked_fill(~normal[row * tail + column].isfinite(), torch.nan)


def _likeliest(logits: torch.Tensor, row: torch.Tensor, column: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    found = []
    for at in range(0, len(row), _POSITIONS):
        value, best = logits[row[at : at + _POSITIONS], column[at : at + _POSITIONS]].max(dim=1)  # (positions,) each
        found.append(best.masked_fill(~value.isfinite(), NO_TOKEN))
    return torch.cat(found)


def gathered(values: FloatArray, ranks: Ranks) -> FloatArray:
    """Return what all ranks found, each at its own places and 0 elsewhere, to the last bit."""
    if ranks.data_size == 1:
        return values
    # The bits of a float plus the zero bits of the other ranks: an integer sum neither rounds nor changes a NaN.
    return ranks.sum(values.view(np.int64)).view(np.float64)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error is a lack of memory, on any device."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def _no_room(one: ForwardPass) -> KISError:
    found = f"no memory for {len(one.rows)} rows of {one.width} tokens"
    hint = "Set retention.batch_tokens to less."
    return KISError(Problem("retention", found, "enough memory for an evaluation", hint))
