"""One rank of a plain loop whose model is split, started by run_ranks: loop_rank.py FOLDER SPEC."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh

from kis_torch import KnowledgeInfusion
from tests.world.data import BareRows
from tests.world.facts import kis
from tests.world.models import make_model
from tests.world.tokenizers import make_tokenizer


def split(strategy: str, model: Any) -> tuple[Any, dict[str, int]]:
    """Return the model as the strategy splits it, and what the loop says of its data ranks."""
    if strategy == "ddp":
        return torch.nn.parallel.DistributedDataParallel(model), {}
    if strategy == "fsdp1":
        from torch.distributed.fsdp import FullyShardedDataParallel
        from torch.distributed.fsdp.wrap import ModuleWrapPolicy

        policy = ModuleWrapPolicy({type(model.model.layers[0])})
        keys = {"device_id": torch.device("cpu"), "use_orig_params": True, "auto_wrap_policy": policy}
        return FullyShardedDataParallel(model, **keys), {}
    from torch.distributed.fsdp import fully_shard

    if strategy == "fsdp2":
        mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
        for layer in model.model.layers:
            fully_shard(layer, mesh=mesh)
        return fully_shard(model, mesh=mesh), {}
    # Two processes of four share each batch, as in a tensor-parallel group; their gradients are the same.
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    model = fully_shard(model, mesh=mesh["dp"])
    return model, {"data_rank": mesh["dp"].get_local_rank(), "data_size": mesh["dp"].size()}


def main() -> None:
    folder, spec = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    tokenizer, seen, losses = make_tokenizer(), [], []
    rows = BareRows(160, tokenizer)
    model = make_model(hidden=32, heads=2)
    model.get_input_embeddings().register_forward_pre_hook(
        lambda module, args: (
            seen.append(args[0].numpy().copy()) if module.training and torch.is_grad_enabled() else None
        )
    )
    model, data = split(spec["strategy"], model) if ranks > 1 else (model, {})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batch_size = 8 // (data.get("data_size") or ranks)
    config = kis(folder, frequency=6)
    with KnowledgeInfusion(config, tokenizer, model, rows, batch_size=batch_size, steps=20, **data) as infusion:
        for step, batch in enumerate(infusion.loader(rows), start=1):
            model.train()
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            infusion.batch(batch)
            infusion.step_end(step)
            mean = loss.detach().clone()
            distributed.all_reduce(mean)
            losses.append(mean.item() / ranks)
    parameters = list(model.parameters())
    report = {
        "losses": losses,
        "types": sorted({type(parameter).__name__ for parameter in parameters}),
        "local": sum((p.to_local() if hasattr(p, "to_local") else p).numel() for p in parameters),
        "whole": sum(parameter.numel() for parameter in parameters),
        "modules": sorted({type(module).__name__ for module in model.modules()}),
    }
    np.save(folder / f"all-{rank}.npy", np.concatenate(seen))
    if rank == 0:
        (folder / "all.json").write_text(json.dumps(report))
    distributed.barrier()
    sys.stdout.flush()
    os._exit(0)  # gloo's threads now and then abort the interpreter's own end, after all is done


if __name__ == "__main__":
    main()
