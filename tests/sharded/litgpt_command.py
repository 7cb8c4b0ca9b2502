"""The command ``litgpt`` on one of several nodes without a GPU: litgpt_command.py SEEN pretrain ... (by torchrun).

Writes what a loss was taken of as it comes, a file for each batch, since the process will be killed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from litgpt import pretrain
from litgpt.__main__ import main

from tests.sharded import shims
from tests.sharded.litgpt_rank import Fabric
from tests.world.litgpt import watch_training


class Written(list):
    """Batches that go to a folder, not to memory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "pid").write_text(f"{os.getpid()}")  # torchrun's processes outlive it where it is killed
        self.folder, self.count = folder, 0

    def append(self, pair: Any) -> None:
        partial = self.folder / "partial.npz"
        np.savez(partial, inputs=pair[0], targets=pair[1])
        partial.rename(self.folder / f"{self.count:04}.npz")
        self.count += 1


if __name__ == "__main__":
    seen = sys.argv.pop(1)
    torch.set_num_threads(1)
    shims.lightning_fsdp()
    watch_training(pytest.MonkeyPatch(), Written(Path(f"{seen}-{os.environ['RANK']}")))
    lightning.Fabric = Fabric  # type: ignore[misc]
    pretrain.save_hyperparameters = lambda *args: None  # it would parse the command line of this script
    main()
    torch.distributed.barrier()
    os._exit(0)  # gloo's threads now and then abort the interpreter's own end, after all is done
