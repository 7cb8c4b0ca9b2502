"""One rank of a two-process run of LitGPT under FSDP: litgpt_rank.py FOLDER SEEN KILL_AT (started by run_ranks)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.fabric.strategies import FSDPStrategy
from litgpt import pretrain
from litgpt.model import Block, CausalSelfAttention

from tests.sharded import shims
from tests.world.litgpt import Rows, run, watch_training


class SplitOnCPU(FSDPStrategy):
    """Lightning refuses FSDP itself where there is no GPU, and takes a subclass."""


class Fabric(lightning.Fabric):
    """What LitGPT chooses for several devices, without a GPU; all after ``setup`` is LitGPT's own ``main``."""

    def __init__(self, **given: Any) -> None:
        strategy = SplitOnCPU(auto_wrap_policy={Block}, state_dict_type="full", sharding_strategy="FULL_SHARD")
        super().__init__(**given | {"strategy": strategy, "accelerator": "cpu"})


def run_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Leave rank 1 no memory for more than two rows of a probe, inside the first of two layers; return its failures."""
    failed: list[int] = []
    forward = CausalSelfAttention.forward

    def scarce(self: Any, x: torch.Tensor, *args: Any, **keys: Any) -> Any:
        if self.block_idx == 0 and not self.training and len(x) > 2 and torch.distributed.get_rank() == 1:
            failed.append(len(x))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, x, *args, **keys)

    monkeypatch.setattr(CausalSelfAttention, "forward", scarce)
    return failed


def main() -> None:
    folder, seen_as, kill_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    shims.lightning_fsdp()
    monkeypatch = pytest.MonkeyPatch()
    seen, split = watch_training(monkeypatch), {}
    failed = run_out_of_memory(monkeypatch) if seen_as == "all" else []
    monkeypatch.setattr(lightning, "Fabric", Fabric)
    fit = pretrain.fit

    def noted(*args: Any, **keys: Any) -> Any:
        model = keys["state"]["model"] if "state" in keys else args[2]["model"]
        split["modules"] = sorted({type(module).__name__ for module in model.modules()})
        split["local"] = sum(parameter.numel() for parameter in model.parameters())
        return fit(*args, **keys)

    noted.__signature__ = __import__("inspect").signature(fit)  # type: ignore[attr-defined]
    monkeypatch.setattr(pretrain, "fit", noted)
    sizes = {"steps": 18, "batch": 2, "accumulation": 2, "devices": 2, "save_interval": 1}
    run(folder, Rows(count=83), folder / "kis.yaml", kill_at=kill_at, resume="auto", **sizes)
    rank, failures = torch.distributed.get_rank(), torch.tensor(len(failed))
    torch.distributed.all_reduce(failures)
    split["failures"] = failures.item()
    inputs, targets = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    np.savez(f"{folder / seen_as}-{rank}.npz", inputs=inputs, targets=targets)
    if rank == 0:
        (folder / f"{seen_as}.json").write_text(json.dumps(split))
    torch.distributed.barrier()
    os._exit(0)  # gloo's threads now and then abort the interpreter's own end, after all is done


if __name__ == "__main__":
    main()
