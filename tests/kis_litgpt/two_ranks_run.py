"""One rank of a two-process gloo run: two_ranks_run.py FOLDER SEEN KIND KILL STRATEGY (started by torchrun)."""

from __future__ import annotations

import sys
from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.fabric import connector
from lightning.fabric.strategies import FSDPStrategy
from lit_world import Killed, Rows, run, watch_training
from litgpt.model import Block
from pytest import MonkeyPatch


def main() -> None:
    folder, name, kind, kill, strategy = sys.argv[1:]
    torch.set_num_threads(1)
    monkeypatch = MonkeyPatch()
    seen = watch_training(monkeypatch)
    keys = {"auto_wrap_policy": {Block}, "state_dict_type": "full", "sharding_strategy": "FULL_SHARD"}

    class Fabric(L.Fabric):
        """On the CPU, whatever LitGPT asks for: its setup knows several devices only as GPUs."""

        def __init__(self, **given):
            given["strategy"] = FSDPStrategy(**keys) if strategy == "fsdp" else strategy
            super().__init__(**given, accelerator="cpu")

    monkeypatch.setattr(L, "Fabric", Fabric)
    monkeypatch.setattr(connector._Connector, "_check_strategy_and_fallback", lambda self: None)
    folder = Path(folder)
    data = Rows(count=83, kind=kind)
    run(folder, data, folder / "kis.yaml", steps=18, batch=2, accumulation=2, devices=2, kill_at=int(kill), save_interval=1, resume="auto")
    inputs, targets = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    np.savez(folder / f"{name}-{torch.distributed.get_rank()}.npz", inputs=inputs, targets=targets)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
