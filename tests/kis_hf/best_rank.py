"""One rank of two on gloo, started by run_ranks: best_rank.py FOLDER.

Trains until retention no longer rises, loads the best checkpoint, and prints what this rank decided.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import EarlyStoppingCallback, TrainerCallback

from tests.world.data import BaseRows
from tests.world.facts import kis
from tests.world.runs import trainer_for
from tests.world.tokenizers import make_tokenizer


class Watch(TrainerCallback):
    """Keeps what the Trainer's evaluations are said to be on this rank, where it decides by them."""

    def __init__(self) -> None:
        self.measured: list[list[float]] = []

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.measured.append([state.global_step, kwargs["metrics"]["eval_retention/held_out"]])


def main() -> None:
    watch = Watch()
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    trainer = trainer_for(
        folder,
        kis(folder, frequency=20),
        rows=320,
        callbacks=[EarlyStoppingCallback(2), watch],
        eval_dataset=BaseRows(8, make_tokenizer()),
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
        max_steps=40,
        metric_for_best_model="retention/held_out",
        load_best_model_at_end=True,
        learning_rate=3e-2,
        ddp_backend="gloo",
    )
    assert trainer.args.world_size == 2
    trainer.train()
    state = trainer.state
    saved = load_file(folder / "out" / f"checkpoint-{state.best_global_step}" / "model.safetensors")
    weights = trainer.model.state_dict()
    found = {
        "rank": int(os.environ["RANK"]),
        "stopped": state.global_step,
        "best": [state.best_global_step, state.best_metric],
        "measured": watch.measured,
        "loaded": all(bool((weights[name] == weight).all()) for name, weight in saved.items()),
    }
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    os._exit(0)  # gloo's threads now and then abort the interpreter's own end, after all is done


if __name__ == "__main__":
    main()
