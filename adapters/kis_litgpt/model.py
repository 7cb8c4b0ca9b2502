"""LitGPT's model, as probes see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from litgpt import GPT, Config
from torch import nn

from kis_torch.model_view import evaluating
from kis_torch.parameters import is_sharded
from kis_torch.whole_pass import WholePass

__all__ = ["LitModelView", "parameter_counts"]


class LitModelView:
    """A module of LitGPT, without ``torch.compile``, which would compile a graph for each shape of the probes.

    Args:
        module: LitGPT's own.
        device: Device of its parameters.
        autocast: Returns the context of its forward passes.

    Attributes:
        together: Every forward pass needs all ranks, since each holds a part of the model.
    """

    def __init__(
        self, module: nn.Module, device: torch.device, autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    ) -> None:
        self._module, self._device, self._autocast = module, device, autocast
        self.together = is_sharded(module)
        self._pass = WholePass(module)

    @classmethod
    def of(cls, fabric: Any, model: Any) -> LitModelView:
        """Return the view of what ``fabric.setup`` returned; ``fabric`` knows device and precision."""
        forward = model._forward_module
        return cls(getattr(forward, "_orig_mod", forward), fabric.device, fabric.autocast)

    def logits(self, input_ids: torch.Tensor) -> torch.Tensor:  # (B, T) -> (B, T, V)
        """Return next-token logits."""
        return self._pass.run(self._logits, input_ids)

    def _logits(self, input_ids: torch.Tensor) -> torch.Tensor:  # (B, T) -> (B, T, V)
        with self._autocast():
            logits: torch.Tensor = self._module(input_ids.to(self._device))
        return logits

    def tree_logits(
        self, input_ids: torch.Tensor, positions: torch.Tensor, sees: torch.Tensor, last: int
    ) -> torch.Tensor:  # (B, T), (B, T), (B, T, T) -> (B, last, V)
        """Return next-token logits of the last tokens of each batch row.

        ``GPT.forward`` takes a mask only together with a cache, so its layers are called here as it calls them. That
        happens in the place of its ``forward``: FSDP gathers the parameters of a module when the module is called.
        """
        return self._pass.run(partial(self._tree_logits, last), input_ids, positions, sees)

    def _tree_logits(
        self, last: int, input_ids: torch.Tensor, positions: torch.Tensor, sees: torch.Tensor
    ) -> torch.Tensor:  # (B, T), (B, T), (B, T, T) -> (B, last, V)
        gpt: Any = self._gpt
        own = gpt.__dict__.get("forward")
        gpt.forward = partial(self._tree_forward, gpt, positions=positions, sees=sees, last=last)
        try:
            with self._autocast():
                logits: torch.Tensor = self._module(input_ids.to(self._device))
        finally:
            del gpt.forward
            if own is not None:
                gpt.forward = own
        return logits

    def _tree_forward(
        self, gpt: Any, input_ids: torch.Tensor, *, positions: torch.Tensor, sees: torch.Tensor, last: int
    ) -> torch.Tensor:  # (B, T), (B, T), (B, T, T) -> (B, last, V)
        config, device = gpt.config, self._device
        positions = positions.to(device)
        x = gpt.transformer.wte(input_ids)  # (B, T, C)
        if config.scale_embeddings:
            x = x * torch.tensor(config.n_embd**0.5, dtype=x.dtype)
        cos, sin = gpt.cos[positions], gpt.sin[positions]  # (B, T, R)
        dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else x.dtype
        mask = torch.zeros(sees.shape, dtype=dtype, device=device)  # (B, T, T)
        mask = mask.masked_fill(~sees.to(device), torch.finfo(dtype).min)[:, None]
        for number, layer in enumerate(gpt.transformer.h):
            part = ... if config.rope_indices is None else (..., config.rope_indices[number])
            x = layer(x, cos[part], sin[part], mask)
        logits: torch.Tensor = gpt.lm_head(gpt.transformer.ln_f(x[:, -last:]))  # (B, last, V)
        cap = config.final_logit_softcapping
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def refuses_trees(self, longest: int) -> str:
        """Return why trees are not used, where short rows would not show it: layers with a window mask themselves."""
        if not isinstance(self._gpt, GPT):
            return f"it is wrapped in a {type(self._gpt).__name__}"
        window = self._gpt.config.sliding_window_size
        return f"it sees {window} tokens back only" if window else ""

    @property
    def _gpt(self) -> nn.Module:
        """The model inside of DDP, FSDP and ``torch.compile``."""
        inner: Any = self._module
        while not isinstance(inner, GPT):
            within = inner._modules.get("_orig_mod") or getattr(inner, "module", None)
            if within is None:
                break
            inner = within
        found: nn.Module = inner
        return found

    @property
    def embedding(self) -> nn.Module:
        """The token embedding."""
        gpt: Any = self._gpt
        found: nn.Module = gpt.transformer.wte
        return found

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Leave every module's mode and the random state as they were: training must not notice the probes."""
        with evaluating(self._module):
            yield


def parameter_counts(config: Config, tied: bool) -> tuple[int, int]:
    """Return all parameters, tied ones once, and those that are neither embedding tables nor the output layer.

    Counted on a model without storage, as under FSDP a rank holds a part only.

    Args:
        config: LitGPT's model configuration.
        tied: Whether output layer and embedding share their weight.
    """
    with torch.device("meta"):
        model = GPT(config)
    if tied:
        model.transformer.wte.weight = model.lm_head.weight
    outside = {id(p): p for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    outside |= {id(p): p for p in model.lm_head.parameters()}
    total = sum(p.numel() for p in model.parameters())
    return total, total - sum(p.numel() for p in outside.values())
