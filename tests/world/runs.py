"""Runs of the Trainer that take a second, with every batch that the model was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from transformers import Trainer, TrainerCallback, TrainingArguments

from kis_hf import KnowledgeInfusion
from kis_plugin.run.log import RunLog
from tests.world import facts
from tests.world.data import BaseRows
from tests.world.models import make_model
from tests.world.tokenizers import make_tokenizer


def arguments(folder: Path, **keys: Any) -> TrainingArguments:
    defaults: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "per_device_train_batch_size": 4,
        "max_steps": 20,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "logging_steps": 5,
        "learning_rate": 1e-3,
        "seed": 0,
    }
    return TrainingArguments(**(defaults | keys))


class StopAt(TrainerCallback):
    """Ends a run early at ``step``, after a save, as an interruption would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


class WatchedTrainer(Trainer):
    """Keeps a copy of every batch handed to the model."""

    seen: list[np.ndarray]

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if model.training:
            self.__dict__.setdefault("seen", []).append(inputs["input_ids"].cpu().numpy().copy())
        return super().compute_loss(model, inputs, *args, **kwargs)


def trainer_for(
    folder: Path, config: dict[str, Any] | None, rows: int = 80, tokenizer: Any = None, callbacks: Any = (), **keys: Any
) -> WatchedTrainer:
    tokenizer = tokenizer or make_tokenizer()
    data, evaluated = keys.pop("data", lambda rows: rows), keys.pop("eval_dataset", None)
    infusion = [KnowledgeInfusion(config, tokenizer=tokenizer)] if config else []
    return WatchedTrainer(
        model=make_model(),
        args=arguments(folder, **keys),
        train_dataset=data(BaseRows(rows, tokenizer)),
        eval_dataset=evaluated,
        callbacks=[*infusion, *callbacks],
    )


def shown(batches: list[np.ndarray], config: dict[str, Any], tokenizer: Any) -> dict[str, int]:
    """How often each infused fact's whole sentences, ended by EOS, stand in the batches: by plain search."""
    return facts.shown(text_of(batches, tokenizer), config)


def controls_shown(batches: list[np.ndarray], config: dict[str, Any], tokenizer: Any) -> int:
    """In how many rows a control fact's subject stands."""
    return sum(facts.controls_shown(text_of(batches, tokenizer), config).values())


def text_of(batches: list[np.ndarray], tokenizer: Any) -> list[str]:
    """The rows of the batches as text."""
    return [tokenizer.decode(row.tolist()) for batch in batches for row in batch]


def margins(log: RunLog) -> list[float]:
    """The margins of a run's evaluations in order; differences from the control have none."""
    return [record.margin for record in log.retention if record.margin is not None]
