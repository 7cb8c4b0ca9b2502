"""One rank of a plain loop whose model is split, started by run_ranks: loop_rank.py FOLDER SPECS."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh

from kis_torch import KnowledgeInfusion
from tests.world.data import BareRows
from tests.world.facts import kis
from tests.world.models import make_model
from tests.world.tokenizers import make_tokenizer

PARTS = ("model", "optimizer")


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


def run_out_of_memory(model: Any) -> list[int]:
    """Leave no memory for more than four rows of a probe, inside the second of three layers; return those that failed.

    A rank that left the pass there would wait for others in another place than they wait for it.
    """
    failed: list[int] = []

    def before(module: Any, args: Any, kwargs: Any) -> None:
        rows = len(args[0] if args else kwargs["hidden_states"])
        if not module.training and rows > 4:
            failed.append(rows)
            raise torch.OutOfMemoryError("CUDA out of memory.")

    model.model.layers[1].self_attn.register_forward_pre_hook(before, with_kwargs=True)
    return failed


def train(folder: Path, spec: dict[str, Any]) -> None:
    """Train once as ``spec`` says; leave the rows that the model was given and the losses in ``folder``."""
    folder, tag, stop = folder / spec["in"], spec["tag"], spec.get("stop", 20)
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    tokenizer, seen, losses = make_tokenizer(), [], []
    rows = BareRows(160, tokenizer)
    model = make_model(hidden=32, heads=2, layers=3)
    failed = run_out_of_memory(model) if spec.get("full_rank") == rank else []
    model.get_input_embeddings().register_forward_pre_hook(
        lambda module, args: (
            seen.append(args[0].numpy().copy()) if module.training and torch.is_grad_enabled() else None
        )
    )
    model, data = split(spec["strategy"], model) if ranks > 1 else (model, {})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batch_size = 8 // (data.get("data_size") or ranks)
    resumed = load(folder, model, optimizer) if spec.get("resume") else None
    config = kis(folder, frequency=6)
    infusion = KnowledgeInfusion(
        config, tokenizer, model, rows, batch_size=batch_size, steps=20, resumed=resumed, **data
    )
    for step, batch in enumerate(infusion.loader(rows), start=infusion.step + 1):
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
        if step == stop:
            break
    if stop < 20:
        save(folder, model, optimizer, infusion.save())
    else:
        infusion.end()
    parameters, failures = list(model.parameters()), torch.tensor(len(failed))
    distributed.all_reduce(failures)
    report = {
        "losses": losses,
        "failures": failures.item(),
        "types": sorted({type(parameter).__name__ for parameter in parameters}),
        "local": sum((p.to_local() if hasattr(p, "to_local") else p).numel() for p in parameters),
        "whole": sum(parameter.numel() for parameter in parameters),
        "modules": sorted({type(module).__name__ for module in model.modules()}),
    }
    np.save(folder / f"{tag}-{rank}.npy", np.concatenate(seen))
    if rank == 0:
        (folder / f"{tag}.json").write_text(json.dumps(report))
    distributed.barrier()


def save(folder: Path, model: Any, optimizer: Any, kept: dict[str, Any]) -> None:
    """Write a checkpoint of which every rank writes its part."""
    checkpoint.save(dict(zip(PARTS, get_state_dict(model, optimizer), strict=True)), checkpoint_id=folder / "saved")
    if distributed.get_rank() == 0:
        (folder / "kept.json").write_text(json.dumps(kept))


def load(folder: Path, model: Any, optimizer: Any) -> dict[str, Any]:
    """Load a checkpoint that any number of ranks wrote; return what KIS keeps."""
    parts = dict(zip(PARTS, get_state_dict(model, optimizer), strict=True))
    checkpoint.load(parts, checkpoint_id=folder / "saved")
    set_state_dict(model, optimizer, model_state_dict=parts["model"], optim_state_dict=parts["optimizer"])
    kept: dict[str, Any] = json.loads((folder / "kept.json").read_text())
    return kept


def main() -> None:
    folder, specs = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    for spec in specs:
        train(folder, spec)
    sys.stdout.flush()
    os._exit(0)  # gloo's threads now and then abort the interpreter's own end, after all is done


if __name__ == "__main__":
    main()
