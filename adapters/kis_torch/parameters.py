"""The parameters of a whole or sharded model."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["fsdp_units", "is_fsdp2", "is_sharded", "parameter_counts", "reshard"]


def is_sharded(model: nn.Module) -> bool:
    """Return whether each rank holds only a part of the model: FSDP 1 and 2, DeepSpeed ZeRO-3."""
    if any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
        return True
    if not torch.distributed.is_available():
        return False
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.tensor import DTensor

    fully = any(isinstance(module, FullyShardedDataParallel) for module in model.modules())
    return fully or any(isinstance(parameter, DTensor) for parameter in model.parameters())


def is_fsdp2(module: nn.Module) -> bool:
    """Return whether ``fully_shard`` was called on a module."""
    if not torch.distributed.is_available():
        return False
    from torch.distributed import fsdp

    return isinstance(module, getattr(fsdp, "FSDPModule", ()))  # torch 2.6 and newer


def fsdp_units(model: nn.Module) -> list[nn.Module]:
    """Return the modules that FSDP 1 or 2 gathers by themselves: those in which no other one lies."""
    if not torch.distributed.is_available():
        return []
    from torch.distributed.fsdp import FullyShardedDataParallel

    units = [one for one in model.modules() if isinstance(one, FullyShardedDataParallel) or is_fsdp2(one)]
    found = set(units)
    return [unit for unit in units if not any(part in found for part in unit.modules() if part is not unit)]


def reshard(model: nn.Module) -> None:
    """Shard what a forward pass left whole: without a backward pass, FSDP 2 never shards its root again."""
    for module in model.modules():
        if is_fsdp2(module):
            module.reshard()  # type: ignore[operator]


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
