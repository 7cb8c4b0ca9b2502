"""The model as probes see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch


__all__ = ["ModelView", "ShardedView", "TreeView"]


class ModelView(Protocol):
    """The model as probes see it. Adapters make one; its ``logits`` is the only way in."""

    def logits(self, input_ids: torch.Tensor) -> torch.Tensor:  # (B, T) -> (B, T, V)
        """Return next-token logits for rows padded on the right, in evaluation mode, without gradients.

        Called with CPU int64 ids; may return logits on any device and in any float dtype. The adapter keeps the
        training dtype and autocast. Causal models need no attention mask for right padding.
        """

    def evaluating(self) -> Any:
        """Return a context manager that puts the model into evaluation mode and restores mode and RNG state after."""


@runtime_checkable
class ShardedView(ModelView, Protocol):
    """A model of which each rank may hold a part.

    Attributes:
        together: Whether it does: every rank must then run the same number of forward passes at the same time.
    """

    together: bool


@runtime_checkable
class TreeView(ModelView, Protocol):
    """A model that also scores trees of tokens: batch rows in which a token attends to some of the others only.

    Its results are compared with ``logits`` before they are used.
    """

    def tree_logits(
        self, input_ids: torch.Tensor, positions: torch.Tensor, sees: torch.Tensor, last: int
    ) -> torch.Tensor:  # (B, T), (B, T), (B, T, T) bool -> (B, last, V)
        """Return next-token logits of the last tokens of each batch row, where ``sees[b, i, j]`` says that i sees j."""

    def refuses_trees(self, longest: int) -> str:
        """Return why it cannot score trees of rows of up to ``longest`` tokens; empty if nothing rules it out."""
