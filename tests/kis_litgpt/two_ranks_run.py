"""One rank of a two-process gloo run: two_ranks_run.py FOLDER SEEN KIND KILL_AT (started by run_ranks)."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.world.litgpt import Rows, run, watch_training


class Fabric(lightning.Fabric):
    """DDP on the CPU in any case: LitGPT's ``setup`` takes FSDP for several devices, and that needs GPUs.

    All after ``setup`` is LitGPT's own ``main``.
    """

    def __init__(self, **given):
        super().__init__(**given | {"strategy": "ddp", "accelerator": "cpu"})


class OwnPlace(DataLoader):
    """Keeps its place itself, on each rank another one."""

    def state_dict(self):
        return {"place": 8 * torch.distributed.get_rank()}

    def load_state_dict(self, state):
        raise AssertionError("not resumed here")


class OwnPlaces(Rows):
    def train_dataloader(self):
        loader = super().train_dataloader()
        return OwnPlace(loader.dataset, batch_size=loader.batch_size)


def main() -> None:
    folder, seen_as, kind, kill_at = Path(sys.argv[1]), *sys.argv[2:]
    torch.set_num_threads(1)
    monkeypatch = pytest.MonkeyPatch()
    seen = watch_training(monkeypatch)
    monkeypatch.setattr(lightning, "Fabric", Fabric)
    sizes = {"steps": 18, "batch": 2, "accumulation": 2, "devices": 2, "save_interval": 1}
    rows = OwnPlaces if (kind, seen_as) == ("stream", "all") else Rows
    with redirect_stderr(StringIO()) as said:
        run(folder, rows(count=83, kind=kind), folder / "kis.yaml", kill_at=int(kill_at), resume="auto", **sizes)
    Path(f"{folder / seen_as}-{torch.distributed.get_rank()}.txt").write_text(said.getvalue())
    inputs, targets = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    np.savez(f"{folder / seen_as}-{torch.distributed.get_rank()}.npz", inputs=inputs, targets=targets)
    torch.distributed.barrier()
    # All is written. Where a model still holds its group, gloo may abort the process as it is taken down
    # (pytorch/pytorch#190489); a process that is left at once takes nothing down.
    os._exit(0)


if __name__ == "__main__":
    main()
