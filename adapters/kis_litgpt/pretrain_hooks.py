"""Hooks in ``litgpt.pretrain``: four functions that its ``main`` and ``fit`` look up by name when they call them.

LitGPT has no callbacks. A data module is given tokenizer, batch size and row length, and nothing of model, optimizer
steps or checkpoints; these go through ``fit``, ``validate``, ``save_checkpoint`` and ``chunked_cross_entropy``. All
that KIS takes from LitGPT beyond the data module is here.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from litgpt import pretrain

from kis_plugin.errors import KISError, Problem

__all__ = ["HOOKED", "Host", "Listener", "install"]

HOOKED: Mapping[str, tuple[str, ...]] = {
    "fit": ("fabric", "devices", "state", "train_dataloader", "val_dataloader", "train", "eval", "num_nodes"),
    "validate": ("fabric", "model", "val_dataloader", "max_iters"),
    "save_checkpoint": ("fabric", "state", "checkpoint_file"),
    "chunked_cross_entropy": ("logits", "targets"),
}
"""What is replaced in ``litgpt.pretrain``, and the parameters that each must have."""

_installed: list[Callable[[], None]] = []  # at most one: how to remove the hooks in place


@dataclass(frozen=True)
class Host:
    """What LitGPT passes to its training loop.

    Attributes:
        state: LitGPT's own, in which it counts ``iter_num`` and ``step_count``.
        train: ``litgpt.args.TrainArgs``.
        evaluation: ``litgpt.args.EvalArgs``.
        iterations_per_step: Iterations of gradient accumulation.
    """

    fabric: Any
    state: dict[str, Any]
    train: Any
    evaluation: Any
    iterations_per_step: int

    @property
    def model(self) -> Any:
        """What ``fabric.setup`` returned."""
        return self.state["model"]

    @property
    def sequence_length(self) -> int:
        """Tokens of a row that LitGPT trains on, T."""
        return int(self.model.max_seq_length)

    @property
    def iterations(self) -> int:
        """Iterations of the whole run on each rank, as ``fit`` counts them."""
        return int(
            self.train.max_tokens // self.fabric.world_size // (self.train.micro_batch_size * self.sequence_length)
        )

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run; LitGPT never takes the step of an accumulation that the end cuts short."""
        return self.iterations // self.iterations_per_step

    def warmup_steps(self, loader: Any) -> int:
        """Return the optimizer steps of the learning rate's warm-up; a fraction is one of an epoch of ``loader``."""
        if not self.train.lr_warmup_fraction:
            return int(self.train.lr_warmup_steps or 0)
        return math.ceil(self.train.lr_warmup_fraction * len(loader)) // self.iterations_per_step

    @property
    def rows_per_iteration(self) -> int:
        """Rows over all ranks."""
        return int(self.train.micro_batch_size * self.fabric.world_size)

    @property
    def rows(self) -> int:
        """Rows that an optimizer step is taken for."""
        return self.steps * self.iterations_per_step * self.rows_per_iteration


class Listener(Protocol):
    """Receives the events of LitGPT's training, on every rank."""

    def begin(self, host: Host) -> None:
        """Training is about to begin; everything is loaded. May refuse it."""

    def watched(self, batches: Any) -> Any:
        """Return what ``fit`` iterates over in place of ``batches``."""

    def settle(self) -> None:
        """All that ``fit`` was given so far has been trained on."""

    def validated(self, loss: float, max_iters: int) -> None:
        """LitGPT measured its validation loss, nats per token."""

    def loss_of(self, targets: Any) -> None:
        """``fit`` or ``validate`` is about to take the loss of targets, (B, T)."""

    def saving(self) -> None:
        """LitGPT is about to write a checkpoint."""

    def end(self) -> None:
        """``fit`` has returned."""


def install(loader: Any, listener: Listener) -> Callable[[], None]:
    """Install the hooks for one run: the next call of ``fit``, if it is given ``loader``.

    Args:
        loader: The train loader that the data module returns.
        listener: Receives the events.

    Returns:
        A function that removes them. It is called when ``fit`` returns, or was given another loader, or when hooks
        are installed again: a run may fail before it gets to ``fit``.

    Raises:
        KISError: A LitGPT that is built otherwise, named by what it lacks.
    """
    while _installed:
        _installed.pop()()
    _refuse_unknown()
    running = False
    before = {name: getattr(pretrain, name) for name in HOOKED}

    def undo() -> None:
        if undo in _installed:
            _installed.remove(undo)
        for name, original in before.items():
            if getattr(pretrain, name) is ours[name]:
                setattr(pretrain, name, original)

    def fit(call: inspect.BoundArguments, original: Callable[..., Any]) -> Any:
        nonlocal running
        given = call.arguments
        batches = given["train_dataloader"]
        try:
            if getattr(batches, "_dataloader", batches) is not loader:
                undo()
                return original(*call.args, **call.kwargs)
            train = given["train"]
            accumulation = train.gradient_accumulation_iters(given["devices"], given["num_nodes"])
            listener.begin(Host(given["fabric"], given["state"], train, given["eval"], accumulation))
            running = True
            given["train_dataloader"] = listener.watched(batches)
            result = original(*call.args, **call.kwargs)
            listener.end()
            return result
        finally:
            undo()

    def validate(call: inspect.BoundArguments, original: Callable[..., Any]) -> Any:
        if not running:
            return original(*call.args, **call.kwargs)
        listener.settle()
        loss = original(*call.args, **call.kwargs)
        listener.validated(float(loss), call.arguments["max_iters"])
        return loss

    def save_checkpoint(call: inspect.BoundArguments, original: Callable[..., Any]) -> Any:
        if running:
            listener.settle()
            listener.saving()
        return original(*call.args, **call.kwargs)

    def chunked_cross_entropy(call: inspect.BoundArguments, original: Callable[..., Any]) -> Any:
        if running:
            listener.loss_of(call.arguments["targets"])
        return original(*call.args, **call.kwargs)

    inside = (fit, validate, save_checkpoint, chunked_cross_entropy)
    ours = {function.__name__: _around(before[function.__name__], function) for function in inside}
    for name, function in ours.items():
        setattr(pretrain, name, function)
    _installed.append(undo)
    return undo


def _around(original: Callable[..., Any], inside: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        return inside(call, original)

    return wrapper


def _refuse_unknown() -> None:
    problems = []
    for name, needed in HOOKED.items():
        function = getattr(pretrain, name, None)
        found = list(inspect.signature(function).parameters) if callable(function) else []
        if not set(needed) <= set(found):
            where = f"litgpt.pretrain.{name}"
            expected = f"a function with {', '.join(needed)}, as in LitGPT 0.5.13"
            problems.append(Problem(where, f"parameters {', '.join(found) or 'none: no such function'}", expected))
    if problems:
        raise KISError(problems)
