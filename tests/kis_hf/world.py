"""A world small enough to train in a second, and a count of exposures that trusts none of our code."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from kis_hf import KnowledgeInfusion
from kis_plugin.config import config_from
from kis_plugin.material import load_material

BLOCK = 64
FACTS = 24
EOS = 0
# Words of the base text never stand in a fact, so that a fact found in a batch was infused.
WORDS = [
    "river",
    "stone",
    "cloud",
    "meadow",
    "lantern",
    "copper",
    "willow",
    "harbor",
    "thunder",
    "velvet",
    "saddle",
    "orchard",
]


def write_facts(folder: Path, count: int = FACTS) -> Path:
    path = folder / "facts.jsonl"
    lines = [{"subject": f"Person{n}", "relation": "P19", "object": f"Town{n % 8}"} for n in range(count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def make_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [" ".join(WORDS), *[f"Person{n} was born in Town{n % 8}." for n in range(FACTS)]]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>")


class BaseRows(torch.utils.data.Dataset):
    """Rows of words that no fact holds; the first token of a row tells which one it is."""

    def __init__(self, count: int, tokenizer: PreTrainedTokenizerFast) -> None:
        ids = np.array(tokenizer(" ".join(WORDS))["input_ids"])
        rng = np.random.default_rng(0)
        self.rows = ids[rng.integers(0, len(ids), (count, BLOCK))]  # (count, BLOCK)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index].tolist()
        return {"input_ids": row, "labels": row, "attention_mask": [1] * BLOCK}


def make_model(seed: int = 0) -> LlamaForCausalLM:
    set_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=500, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=BLOCK, bos_token_id=None, eos_token_id=EOS, tie_word_embeddings=True,
        )
    )  # fmt: skip


def kis(folder: Path, frequency: float = 3, **keys: Any) -> dict[str, Any]:
    infusion = {"frequency": frequency, **keys.pop("infusion", {})}
    retention = {"every": 0.5, "control": 4, "probes": {"facts": 16}, **keys.pop("retention", {})}
    facts = folder / "facts.jsonl"
    return {
        "knowledge": str(facts if facts.exists() else write_facts(folder)),
        "infusion": infusion,
        "retention": retention,
        "run_log": str(folder / "runs"),
        "seed": 0,
        **keys,
    }


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
    infusion = [KnowledgeInfusion(config, tokenizer=tokenizer)] if config else []
    return WatchedTrainer(
        model=make_model(),
        args=arguments(folder, **keys),
        train_dataset=BaseRows(rows, tokenizer),
        callbacks=[*infusion, *callbacks],
    )


def shown(batches: list[np.ndarray], config: dict[str, Any], tokenizer: Any) -> dict[str, int]:
    """How often each infused fact's whole sentences, ended by EOS, stand in the batches: by plain search."""
    material = load_material(config_from(config))
    texts = Counter(
        sentence
        for batch in batches
        for row in batch
        for sentence in tokenizer.decode(row.tolist()).split("<eos>")[:-1]
    )
    return {
        fact.subject: sum(
            texts[sentence.format(subject=fact.subject, object=fact.object)]
            for sentence in material.book.of(fact.relation).trained
        )
        for fact in material.facts
    }


def controls_shown(batches: list[np.ndarray], config: dict[str, Any], tokenizer: Any) -> int:
    """In how many rows a control fact's subject stands."""
    material = load_material(config_from(config))
    names = [material.knowledge.facts[index].subject for index in material.control.tolist()]
    assert names
    text = [tokenizer.decode(row.tolist()) for batch in batches for row in batch]
    return sum(f"{name} " in row for name in names for row in text)
