"""One process of the measurement of step times, started by torchrun: rank.py FOLDER STRATEGY PAIRS STEPS."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments, set_seed

from kis_hf import KnowledgeInfusion
from kis_plugin.testing.small_knowledge import small_config
from tests.sharded import shims
from tests.world.data import SEQUENCE_LENGTH, BaseRows
from tests.world.tokenizers import make_tokenizer

BATCH, WARM_UP = 8, 5
FSDP2 = {
    "fsdp": "full_shard auto_wrap",
    "fsdp_config": {
        "fsdp_version": 2, "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"], "cpu_ram_efficient_loading": False,
        "sync_module_states": False,
    },
}  # fmt: skip
STRATEGIES = {"ddp": {}, "fsdp2": FSDP2}


class Clock(TrainerCallback):
    """Wall and CPU seconds from the end of each optimizer step to the end of the next one."""

    def __init__(self):
        self.wall, self.cpu, self.last = [], [], None

    def on_step_begin(self, args, state, control, **kwargs):
        """Start at the first step, before which KIS evaluates."""
        if self.last is None:
            self.last = time.perf_counter(), time.process_time()

    def on_step_end(self, args, state, control, **kwargs):
        """Note the time of a step. KIS counts its batch in the forward pass of the next one."""
        now = time.perf_counter(), time.process_time()
        self.wall.append(now[0] - self.last[0])
        self.cpu.append(now[1] - self.last[1])
        self.last = now


def train(folder, strategy, steps, infused):
    """Train once; return the seconds of each step behind the first ones."""
    set_seed(0)
    tokenizer, clock = make_tokenizer(), Clock()
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=500, hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
            max_position_embeddings=SEQUENCE_LENGTH, bos_token_id=None, eos_token_id=0,
        )
    )  # fmt: skip
    # Evaluated before the first step and after the last alone: what is measured is infusion and counting.
    config = small_config(folder, frequency=steps, retention={"every": steps})
    args = TrainingArguments(
        output_dir=str(folder / "out"), per_device_train_batch_size=BATCH, max_steps=steps, save_strategy="no",
        report_to="none", disable_tqdm=True, use_cpu=True, logging_steps=1_000_000, ddp_backend="gloo",
        **STRATEGIES[strategy],
    )  # fmt: skip
    callbacks = [clock, KnowledgeInfusion(config, tokenizer=tokenizer)] if infused else [clock]
    trainer = Trainer(model=model, args=args, train_dataset=BaseRows(1024, tokenizer), callbacks=callbacks)
    trainer.train()
    split = any(hasattr(parameter, "to_local") for parameter in trainer.model.parameters())
    if split != (strategy == "fsdp2"):
        raise SystemExit(f"{strategy}: the model is {'split' if split else 'whole'}")
    return {"wall": clock.wall[WARM_UP:], "cpu": clock.cpu[WARM_UP:]}


def main():
    """Train with and without the callback in turn, and write the times of rank 0."""
    folder, strategy, pairs, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(1)
    if strategy == "fsdp2":
        shims.accelerate_fsdp()
        shims.plain_cpu_device()
    found = []
    for pair in range(pairs):
        order = (True, False) if pair % 2 else (False, True)
        found.append({("with" if infused else "without"): train(folder, strategy, steps, infused) for infused in order})
    if os.environ["RANK"] == "0":
        (folder / f"{strategy}.json").write_text(json.dumps(found))
    torch.distributed.barrier()
    sys.stdout.flush()
    os._exit(0)  # gloo's threads now and then abort the interpreter's own end, after all is done


if __name__ == "__main__":
    main()
