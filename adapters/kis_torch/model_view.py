"""A model in training or from disk, as probes see it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from kis_plugin.errors import KISError, Problem
from kis_torch.parameters import is_fsdp2, is_sharded, reshard
from kis_torch.whole_pass import WholePass

__all__ = ["TorchModelView", "eager_module", "evaluating"]


class TorchModelView:
    """Wraps any module that returns next-token logits. Models that take masks as in ``transformers`` score trees too.

    Args:
        model: Its ``forward`` carries the autocast of training. DDP is unwrapped; FSDP, which gathers the parameters
            of each layer in its ``forward``, is not.
        logits: Computes logits where ``model(ids)`` does not: ids (B, T) on its device -> logits (B, T, V).

    Raises:
        KISError: The model is an encoder-decoder.

    Attributes:
        together: Every forward pass needs all ranks, since each holds a part of the model.
    """

    def __init__(self, model: nn.Module, logits: Callable[[torch.Tensor], Any] | None = None) -> None:
        self._model = eager_module(model)
        self._ask = logits
        self.together = is_sharded(self._model)
        self._pass = WholePass(self._model)
        inner: Any = self._model
        while {"_orig_mod", "module"} & inner._modules.keys():  # compiled, FSDP 1
            inner = inner._modules.get("_orig_mod") or inner._modules["module"]
        if getattr(getattr(inner, "config", None), "is_encoder_decoder", False):
            found = f"an encoder-decoder ({type(inner).__name__})"
            hint = "Its decoder never sees a row of base text, which is what facts are infused into."
            raise KISError(Problem("model", found, "a causal language model", hint))
        takes = inspect.signature(inner.forward).parameters
        any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
        self._keeps = "logits_to_keep" in takes
        self._of_transformers = hasattr(getattr(inner, "config", None), "model_type") and (
            "use_cache" in takes or any_name
        )

    def logits(self, input_ids: torch.Tensor) -> torch.Tensor:  # (B, T) -> (B, T, V)
        """Return next-token logits."""
        return self._pass.run(self._logits, input_ids)

    def _logits(self, input_ids: torch.Tensor) -> torch.Tensor:  # (B, T) -> (B, T, V)
        ids = input_ids.to(self._device)
        if self._ask is not None:
            answer = self._ask(ids)
        elif self._of_transformers:
            answer = self._model(input_ids=ids, use_cache=False)
        else:
            answer = self._model(ids)
        return _logits_of(answer)

    def tree_logits(
        self, input_ids: torch.Tensor, positions: torch.Tensor, sees: torch.Tensor, last: int
    ) -> torch.Tensor:  # (B, T), (B, T), (B, T, T) -> (B, last, V)
        """Return next-token logits of the last tokens of each batch row."""
        return self._pass.run(partial(self._tree_logits, last), input_ids, positions, sees)

    def _tree_logits(
        self, last: int, input_ids: torch.Tensor, positions: torch.Tensor, sees: torch.Tensor
    ) -> torch.Tensor:  # (B, T), (B, T), (B, T, T) -> (B, last, V)
        parameter = next(self._model.parameters())
        device = parameter.device
        mask = sees.to(device)[:, None]  # (B, 1, T, T)
        with self._masked_attention() as implementation:
            if implementation == "eager":  # which adds its mask to scores
                mask = torch.zeros(mask.shape, dtype=parameter.dtype, device=device).masked_fill(
                    ~mask, torch.finfo(parameter.dtype).min
                )
            logits: torch.Tensor = self._model(
                input_ids=input_ids.to(device),
                position_ids=positions.to(device),
                attention_mask=mask,
                use_cache=False,
                **({"logits_to_keep": last} if self._keeps else {}),
            ).logits
        return logits[:, -last:]

    def refuses_trees(self, longest: int) -> str:
        """Return why trees are not used, where short rows would not show it: our mask replaces an attention window."""
        if self._ask is not None or not self._of_transformers:
            return "it is no model of transformers, or is called through a function of the loop"
        window = getattr(getattr(self._model, "config", None), "sliding_window", None)
        return f"it sees {window} tokens back only" if window and window < longest else ""

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Leave every module's mode and the random state as they were: training must not notice the probes."""
        with evaluating(self._model):
            yield

    @property
    def _device(self) -> torch.device:
        return next(self._model.parameters()).device

    @contextmanager
    def _masked_attention(self) -> Iterator[str]:
        """Use an implementation of attention that takes any mask, where the model's own does not."""
        config: Any = getattr(self._model, "config", None)
        own = getattr(config, "_attn_implementation", "sdpa")
        if own in ("sdpa", "eager"):
            yield own
            return
        set_attention: Any = self._model.set_attn_implementation
        set_attention("sdpa")
        try:
            yield "sdpa"
        finally:
            set_attention(own)


def eager_module(model: nn.Module) -> nn.Module:
    """Return the outermost module that is neither compiled, where each shape is a graph, nor wrapped in DDP.

    Where FSDP 2 shards a compiled module, accelerate's order, that module gathers the parameters of the whole model:
    it stays, and runs eagerly inside ``evaluating``.
    """
    while True:
        if isinstance(model, DistributedDataParallel):
            model = model.module
        elif "_orig_mod" in model._modules and not is_fsdp2(model):
            model = model.get_submodule("_orig_mod")
        else:
            return model


def _logits_of(answer: Any) -> torch.Tensor:  # (B, T, V)
    """Find the logits in what a model returned: a tensor, a mapping or object with ``logits``, or a tuple."""
    if isinstance(answer, torch.Tensor):
        return answer
    if isinstance(answer, Mapping) and "logits" in answer:
        found: torch.Tensor = answer["logits"]
        return found
    if isinstance(answer, (tuple, list)):
        return next(part for part in answer if isinstance(part, torch.Tensor) and part.ndim == 3)
    logits: torch.Tensor = answer.logits
    return logits


def _eager() -> AbstractContextManager[None]:
    """Return a context in which compiled code runs eagerly, where torch offers one (2.6 and newer)."""
    set_stance = getattr(torch.compiler, "set_stance", None)
    return nullcontext() if set_stance is None else set_stance("force_eager")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, without gradients; restore every module's mode and the random state after.

    Layers that the host compiled run as plain modules: each shape of a probe would be a new graph.
    """
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device
    model.eval()
    try:
        with _eager(), torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        reshard(model)
