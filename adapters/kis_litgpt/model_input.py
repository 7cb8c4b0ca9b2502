"""What LitGPT's model and loss are really given while the first infused rows are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from kis_torch.watch import HostCopy

__all__ = ["ModelInput"]

Rows = npt.NDArray[np.int64]


class ModelInput:
    """Follows the token ids to the model's embedding, and the targets to the loss.

    A model that changes its ids, or a module around it, is trained on other text than LitGPT's loop holds. Where the
    model is compiled the ids are taken as it gets them: a hook inside would have it compiled once more.

    Args:
        forward: The module that Fabric calls.
        embedding: The token embedding inside.
    """

    def __init__(self, forward: nn.Module, embedding: nn.Module) -> None:
        self._ids: HostCopy | None = None
        self._targets: HostCopy | None = None
        compiled = hasattr(forward, "_orig_mod")
        watched = forward if compiled else embedding
        self._remove: Callable[[], None] | None = watched.register_forward_pre_hook(self._before).remove

    def loss_of(self, targets: torch.Tensor) -> None:
        """Note what the loss is taken of: (B, T)."""
        if self._remove is not None and torch.is_grad_enabled():
            self._targets = HostCopy(targets)

    def rows(self, given: Rows) -> tuple[Rows, Rows | None]:
        """Return tokens 1 to T of each row as the model and its loss got them, (B, T), and its targets, (B, T).

        Args:
            given: (B, T) tokens 1 to T of each row as LitGPT's loop got them. No input follows the last one.
        """
        ids, targets = (None if one is None else one.numpy() for one in (self._ids, self._targets))
        self._ids = self._targets = None
        if targets is not None and targets.shape != given.shape:
            targets = None
        if ids is None or ids.shape != given.shape:
            return given, targets
        return np.concatenate([ids[:, 1:], given[:, -1:]], axis=1), targets

    def stop(self) -> None:
        """Stop watching; calling it twice is fine."""
        if self._remove is not None:
            self._remove()
            self._remove = None

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if module.training and torch.is_grad_enabled() and args and torch.is_tensor(args[0]):
            self._ids = HostCopy(args[0])
