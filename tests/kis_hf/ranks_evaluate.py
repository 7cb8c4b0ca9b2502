"""One rank of a gloo process group, started by run_ranks: ranks_evaluate.py WEIGHTS.

Evaluates a model, whole and in shards, and prints the scores and which answers were right.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

from kis_plugin.run.ranks import Ranks
from kis_torch.model_view import TorchModelView
from tests.world.models import make_view_model
from tests.world.questions import make_evaluator


class Scarce(TorchModelView):
    """Has no memory for the logits of more than two rows on rank 1: it halves its passes, and so must all ranks."""

    failed = 0

    def logits(self, input_ids):
        return self._checked(super().logits(input_ids))

    def tree_logits(self, input_ids, positions, sees, last):
        return self._checked(super().tree_logits(input_ids, positions, sees, last))

    def _checked(self, logits):
        if distributed.get_rank() == 1 and len(logits) > 2:
            self.failed += 1
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return logits


def main() -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    size, rank = distributed.get_world_size(), distributed.get_rank()

    def summed(array):
        whole = torch.from_numpy(array.copy())
        distributed.all_reduce(whole)
        return np.asarray(whole.numpy())

    def make():
        made = make_view_model()
        made.load_state_dict(torch.load(sys.argv[1], weights_only=True))
        return made

    model = make()
    policy = ModuleWrapPolicy({type(model.model.layers[0])})
    models = {
        "whole": model,
        "fsdp2": fully_shard(make(), mesh=init_device_mesh("cpu", (size,))),
        "fsdp1": FullyShardedDataParallel(
            make(), device_id=torch.device("cpu"), use_orig_params=True, auto_wrap_policy=policy
        ),
    }
    models["fsdp2, scarce"] = models["fsdp2"]
    for name, shown in models.items():
        view = Scarce(shown) if "scarce" in name else TorchModelView(shown)
        outcomes = make_evaluator().answer(view, Ranks(rank, size, summed))
        found = {name: getattr(outcomes, name).tolist() for name in ("margin", "correct")}
        found["exact"] = outcomes.measures["exact"].tolist()
        found |= {"together": view.together, "failed": getattr(view, "failed", 0)}
        sys.stdout.write(f"{json.dumps({'rank': rank, 'model': name, **found})}\n")
    sys.stdout.flush()
    distributed.barrier()
    distributed.destroy_process_group()
    os._exit(0)  # gloo's threads now and then abort the interpreter's own end, after all is done


if __name__ == "__main__":
    main()
