"""One rank of a gloo process group, started by run_ranks: prints the counts of a model, then of it in shards."""

from __future__ import annotations

import sys

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from transformers import LlamaConfig, LlamaForCausalLM

from kis_torch.parameters import parameter_counts


def make(tied: bool) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=51, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            tie_word_embeddings=tied,
        )
    )  # fmt: skip


def main() -> None:
    distributed.init_process_group("gloo")
    mesh, cpu = init_device_mesh("cpu", (distributed.get_world_size(),)), torch.device("cpu")
    for tied in (True, False):
        model = make(tied)
        found = [parameter_counts(model), parameter_counts(fully_shard(make(tied), mesh=mesh))]
        policy = ModuleWrapPolicy({type(model.model.layers[0])})
        for original in (True, False):
            sharded = FullyShardedDataParallel(
                make(tied), device_id=cpu, use_orig_params=original, auto_wrap_policy=policy
            )
            found.append(parameter_counts(sharded))
        if distributed.get_rank() == 0:
            sys.stdout.write(f"counts {found}\n")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
