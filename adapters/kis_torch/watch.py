"""The token ids that a model is trained on, copied to the host without making any step wait."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

__all__ = ["HostCopy", "watch_batches"]


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
    model: nn.Module, seen: Callable[[npt.NDArray[np.int64]], None]
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Call ``seen`` with every batch, (rows, T), that the model is given in training mode.

    The copy to the host is started before the forward pass and read at the next one, so that no step waits for a GPU.

    Returns:
        A function that reads what is still on its way: call it before counts are used. Another that does so and
        stops watching.
    """
    waiting: list[HostCopy] = []
    one_at_a_time = Lock()  # DataParallel calls the hook from a thread for each GPU

    def drain() -> None:
        with one_at_a_time:
            while waiting:
                seen(waiting.pop(0).numpy())

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def before_forward(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if not module.training or not torch.is_tensor(ids):
            return
        drain()
        waiting.append(HostCopy(ids))

    handle = model.register_forward_pre_hook(before_forward, with_kwargs=True)

    def stop() -> None:
        drain()
        handle.remove()

    return drain, stop
