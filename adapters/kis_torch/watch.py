"""The token ids that a model is trained on, copied to the host without making any step wait."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from kis_torch.labels import IGNORED, LABEL_NAMES

__all__ = ["HostCopy", "watch_batches"]

_NO_IDS = {*LABEL_NAMES, "attention_mask", "position_ids", "token_type_ids", "special_tokens_mask"}


class HostCopy:
    """Token ids, (B, T), on their way to the host. The copy starts at once; only ``numpy()`` waits for it."""

    def __init__(self, ids: torch.Tensor) -> None:
        on_gpu = ids.device.type == "cuda"
        # A copy on the CPU too: the host may change a batch in place after it was trained on.
        self._ids = torch.empty(ids.shape, dtype=ids.dtype, pin_memory=on_gpu)
        self._ids.copy_(ids, non_blocking=on_gpu)
        self._event = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]
        if self._event is not None:
            self._event.record()

    def numpy(self) -> npt.NDArray[np.int64]:
        """Return the ids, (B, T)."""
        if self._event is not None:
            self._event.synchronize()
        return np.asarray(self._ids.numpy(), dtype=np.int64)


def watch_batches(
    model: nn.Module,
    seen: Callable[..., None],
    sequence_length: int = 0,
    uniform: bool = True,
    labels_wanted: Callable[[], bool] = lambda: False,
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Call ``seen`` with every batch, (rows, T), that the model is given in training mode.

    The copy to the host is started before the forward pass and read at the next one, so that no step waits for a GPU.

    Args:
        model: Not wrapped.
        seen: Called with token ids, each row from its first token of text on; where labels are wanted and the model is
            given some, with these as a second argument.
        sequence_length: Tokens of a row; of the longest one where they differ. A collator may have joined the rows of a
            batch to one, (1, N): these are given row by row. 0 leaves all batches as they are.
        uniform: Whether all rows have that length; else joined rows begin where ``position_ids`` start over.
        labels_wanted: Whether the labels of a batch are to be copied too.

    Returns:
        A function that reads what is still on its way: call it before counts are used. Another that does so and
        stops watching.
    """
    waiting: list[list[HostCopy | None]] = []
    one_at_a_time = Lock()  # DataParallel calls the hook from a thread for each GPU

    def drain() -> None:
        with one_at_a_time:
            while waiting:
                ids, positions, mask, labels = (None if one is None else one.numpy() for one in waiting.pop(0))
                assert ids is not None
                bounds = _row_bounds(ids, positions, mask, sequence_length, uniform)
                rows = [_rows_of(ids, bounds, sequence_length, -1)]
                seen(*rows, *([] if labels is None else [_rows_of(labels, bounds, sequence_length, IGNORED)]))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def before_forward(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is None:
            ids = next((value for name, value in kwargs.items() if name not in _NO_IDS and _is_ids(value)), None)
        if not module.training or not torch.is_tensor(ids):
            return
        drain()
        joined = len(ids) == 1 and not uniform
        beside = [
            kwargs.get("position_ids") if joined else None,
            kwargs.get("attention_mask"),
            kwargs.get("labels") if labels_wanted() else None,
        ]
        same = [one if torch.is_tensor(one) and one.shape == ids.shape else None for one in beside]
        waiting.append([HostCopy(ids), *(None if one is None else HostCopy(one) for one in same)])

    handle = model.register_forward_pre_hook(before_forward, with_kwargs=True)

    def stop() -> None:
        drain()
        handle.remove()

    return drain, stop


def _is_ids(value: Any) -> bool:
    return torch.is_tensor(value) and value.ndim == 2 and value.dtype in (torch.int64, torch.int32)


def _row_bounds(
    ids: npt.NDArray[np.int64],
    positions: npt.NDArray[np.int64] | None,
    mask: npt.NDArray[np.int64] | None,
    sequence_length: int,
    uniform: bool,
) -> list[tuple[int, int]] | int:
    """Return where the rows of a batch begin, as row and token of its tensors; or their length, where all are alike."""
    if positions is not None and ids.shape[0] == 1:
        return [(0, place) for place in np.flatnonzero(positions[0] == 0).tolist()]
    if mask is not None and not mask[:, :1].all():  # padding on the left
        return list(enumerate((mask != 0).argmax(axis=1).tolist()))
    alike = uniform and sequence_length and ids.size % sequence_length == 0
    return sequence_length if alike else ids.shape[1]


def _rows_of(
    column: npt.NDArray[np.int64], bounds: list[tuple[int, int]] | int, sequence_length: int, filled: int
) -> npt.NDArray[np.int64]:  # (rows, T)
    """Return the rows of a column, each from its first token of text on; ``filled`` stands behind a row's end."""
    if isinstance(bounds, int):
        return column.reshape(-1, bounds)
    width = min(sequence_length or column.shape[1], column.shape[1])
    rows = np.full((len(bounds), width), filled, dtype=np.int64)
    for number, (row, place) in enumerate(bounds):
        part = column[row, place : place + width]
        rows[number, : len(part)] = part
    return rows
