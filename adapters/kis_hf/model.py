"""The model of a Trainer, as probes see it and as the tally watches it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

__all__ = ["HFModelView", "is_sharded", "parameter_counts", "watch_batches"]


class HFModelView:
    """Any causal language model of ``transformers``; its ``forward`` already carries accelerate's autocast.

    Attributes:
        together: Every pass needs all ranks, since each holds a part of the model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.together = is_sharded(model)
        inner: Any = getattr(model, "module", model)  # of FSDP
        self._keeps = "logits_to_keep" in inspect.signature(inner.forward).parameters

    def logits(self, input_ids: torch.Tensor) -> torch.Tensor:  # (B, T) -> (B, T, V)
        """Return next-token logits."""
        device = next(self._model.parameters()).device
        logits: torch.Tensor = self._model(input_ids=input_ids.to(device), use_cache=False).logits
        return logits

    def tree_logits(
        self, input_ids: torch.Tensor, positions: torch.Tensor, sees: torch.Tensor, last: int
    ) -> torch.Tensor:  # (B, T), (B, T), (B, T, T) -> (B, last, V)
        """Return next-token logits of the last tokens of each line."""
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
        """Name what a trial on short rows would not show: a mask of ours takes the place of a window."""
        window = getattr(getattr(self._model, "config", None), "sliding_window", None)
        return f"it sees {window} tokens back only" if window and window < longest else ""

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

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Leave every module's mode and the random state as they were: training must not notice the probes."""
        modes = [(module, module.training) for module in self._model.modules()]
        device = next(self._model.parameters()).device
        devices = [device] if device.type == "cuda" else []
        self._model.eval()
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=devices):
                yield
        finally:
            for module, mode in modes:
                module.training = mode


def is_sharded(model: nn.Module) -> bool:
    """Return whether each rank holds a part of the model only: FSDP 1 and 2, DeepSpeed ZeRO-3."""
    if any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
        return True
    if not torch.distributed.is_available():
        return False
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.tensor import DTensor

    fully = any(isinstance(module, FullyShardedDataParallel) for module in model.modules())
    return fully or any(isinstance(parameter, DTensor) for parameter in model.parameters())


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """Return all parameters, tied ones once, and those that are neither embedding tables nor the output layer."""
    embeddings = {id(module.weight): module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    output = getattr(model, "get_output_embeddings", lambda: None)()
    if output is not None:
        embeddings |= {id(weight): weight for weight in output.parameters()}
    whole = _flattened(model)
    if whole:
        total = sum(count for _, count in whole)
        tables = (count for module, count in whole if isinstance(module, nn.Embedding) or module is output)
        return total, total - sum(tables)
    # .numel() of a sharded parameter is that of its shard; ds_numel is DeepSpeed's count of the whole.
    total = sum(int(getattr(p, "ds_numel", p.numel())) for p in model.parameters())
    return total, total - sum(int(getattr(w, "ds_numel", w.numel())) for w in embeddings.values())


def _flattened(model: nn.Module) -> list[tuple[nn.Module, int]]:
    """Return the module and size of every parameter that FSDP 1 flattened, tied ones once; empty without FSDP 1.

    What is left in such a module is this rank's shard. FSDP 2 keeps the sizes of the whole.
    """
    if not torch.distributed.is_available():
        return []
    from torch.distributed.fsdp import FullyShardedDataParallel

    handles = [module._handle for module in FullyShardedDataParallel.fsdp_modules(model)]
    flat = [handle.flat_param for handle in handles if handle is not None]
    return [
        (info.module, count)
        for parameter in flat
        for info, count in zip(parameter._param_infos, parameter._numels, strict=True)
    ]


def watch_batches(
    model: nn.Module, seen: Callable[[npt.NDArray[np.int64]], None]
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Call ``seen`` with every batch, (rows, T), that the model is given in training mode.

    The copy to the host is started before the forward pass and read at the next one, so that no step waits for a GPU.

    Returns:
        A function that reads what is still on its way: call it before counts are used. Another that does so and
        stops watching.
    """
    waiting: list[tuple[torch.Tensor, torch.cuda.Event | None]] = []
    one_at_a_time = Lock()  # DataParallel calls the hook from a thread for each GPU

    def drain() -> None:
        with one_at_a_time:
            while waiting:
                ids, event = waiting.pop(0)
                if event is not None:
                    event.synchronize()
                seen(ids.numpy())

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def before_forward(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if not module.training or not torch.is_tensor(ids):
            return
        drain()
        on_gpu = ids.device.type == "cuda"
        copy = torch.empty(ids.shape, dtype=ids.dtype, pin_memory=on_gpu)
        copy.copy_(ids, non_blocking=on_gpu)
        event = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]
        if event is not None:
            event.record()
        waiting.append((copy, event))

    handle = model.register_forward_pre_hook(before_forward, with_kwargs=True)

    def stop() -> None:
        drain()
        handle.remove()

    return drain, stop
