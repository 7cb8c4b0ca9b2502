"""A world small enough to pretrain in a second with LitGPT's own ``setup``, and a count that trusts no code of ours."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from litgpt import Config, pretrain
from litgpt.args import EvalArgs, TrainArgs
from litgpt.data import DataModule
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.utils.data import DataLoader, Dataset, IterableDataset

from kis_litgpt import KnowledgeInfusion
from kis_plugin.config.load import load_config
from kis_plugin.tokenized.infusion_split import load_split

BLOCK = 64
FACTS = 24
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


def make_tokenizer(folder: Path) -> Path:
    """Write a small byte-level tokenizer as LitGPT finds it, once."""
    if (folder / "tokenizer_config.json").exists():
        return folder
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [" ".join(WORDS), *[f"Person{n} was born in Town{n % 8}." for n in range(FACTS)]]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<eos>", "eos_token": "<eos>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


class BaseRows(Dataset):
    """Rows of words that no fact holds."""

    def __init__(self, count: int, tokenizer: Any, width: int) -> None:
        ids = np.array(tokenizer.processor.encode(" ".join(WORDS)).ids)
        self.rows = torch.from_numpy(ids[np.random.default_rng(0).integers(0, len(ids), (count, width))])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.rows[index]


class Stream(IterableDataset):
    """The same rows, one after the other."""

    def __init__(self, rows: BaseRows) -> None:
        self.rows = rows

    def __iter__(self):
        return iter(self.rows.rows)


class ForgetfulLoader(DataLoader):
    """Gives its batches once, then nothing."""

    def __iter__(self):
        if getattr(self, "spent", False):
            return iter(())
        self.spent = True
        return super().__iter__()


class StatefulLoader(DataLoader):
    """Keeps its own place, as the loaders of litdata and torchdata do."""

    place = 0
    loads = 0

    def __iter__(self):
        for batch in list(super().__iter__())[self.place :]:
            self.place += 1
            yield batch
        self.place = 0

    def state_dict(self):
        return {"place": self.place}

    def load_state_dict(self, state):
        self.place, self.loads = state["place"], self.loads + 1


@dataclass
class Rows(DataModule):
    """A data module of one's own."""

    count: int = 80
    """Rows of the training data."""
    shuffle: bool = True
    workers: int = 0
    kind: str = "map"
    width: int = 0
    """Tokens a row more than LitGPT asks for."""

    tokenizer: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__init__()

    def __str__(self) -> str:
        return f"{self.kind}-{self.count}-{'shuffled' if self.shuffle else 'in order'}-{self.workers} workers"

    def connect(self, tokenizer=None, batch_size=1, max_seq_length=None):
        self.tokenizer, self.batch_size, self.sequence_length = tokenizer, batch_size, max_seq_length

    def train_dataloader(self):
        rows = BaseRows(self.count, self.tokenizer, self.sequence_length + 1 + self.width)
        keys = {"batch_size": self.batch_size, "num_workers": self.workers}
        if self.kind == "stream":
            return DataLoader(Stream(rows), **keys)
        cls = {"map": DataLoader, "forgetful": ForgetfulLoader, "stateful": StatefulLoader}[self.kind]
        return cls(rows, shuffle=self.shuffle and self.kind == "map", **keys)

    def val_dataloader(self):
        return DataLoader(BaseRows(8, self.tokenizer, self.sequence_length + 1), batch_size=self.batch_size)


def write_kis(folder: Path, **keys: Any) -> Path:
    """Write facts and ``kis.yaml``; keys given replace whole sections."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [{"subject": f"Person{n}", "relation": "P19", "object": f"Town{n % 8}"} for n in range(FACTS)]
    (folder / "facts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    values = {
        "knowledge": "facts.jsonl",
        "infusion": {"frequency": 5},
        "retention": {"control": 4, "probes": {"facts": 16}},
        "run_log": "runs",
        "seed": 0,
        **keys,
    }
    (folder / "kis.yaml").write_text(yaml.safe_dump(values))
    return folder / "kis.yaml"


def watch_training(monkeypatch: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Leave out compilation and the saving of command lines; note what the loss is taken of in training."""
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    inputs: list[np.ndarray] = []
    forward, loss = pretrain.GPT.forward, pretrain.chunked_cross_entropy

    def watched_forward(self, idx, *args, **kwargs):
        if torch.is_grad_enabled() and idx.device.type != "meta":
            inputs.append(idx.cpu().numpy().copy())
        return forward(self, idx, *args, **kwargs)

    def watched_loss(logits, targets, *args, **kwargs):
        if torch.is_grad_enabled() and targets.device.type != "meta":
            seen.append((inputs[-1], targets.cpu().numpy().copy()))
        return loss(logits, targets, *args, **kwargs)

    monkeypatch.setattr(pretrain.GPT, "forward", watched_forward)
    monkeypatch.setattr(pretrain, "chunked_cross_entropy", watched_loss)
    monkeypatch.setattr(torch, "compile", lambda model, *args, **kwargs: model)
    monkeypatch.setattr(pretrain, "save_hyperparameters", lambda *args: None)
    return seen


class Killed(BaseException):
    """What ends a run in the middle."""


def run(
    folder: Path,
    data: Any = None,
    kis: Path | None = None,
    steps: int = 20,
    batch: int = 4,
    accumulation: int = 1,
    kill_at: int = 0,
    resume: Any = False,
    devices: int = 1,
    extra_tokens: int = 0,
    **keys: Any,
) -> Any:
    """Pretrain through LitGPT's own ``setup``; ``kill_at`` ends the run after that many optimizer steps were taken."""
    train = {
        "save_interval": keys.pop("save_interval", 5),
        "log_interval": 1,
        "global_batch_size": batch * accumulation * devices,
        "micro_batch_size": batch,
        "max_tokens": steps * accumulation * batch * devices * BLOCK + extra_tokens,
        "max_norm": 1.0,
        "lr_warmup_steps": 2,
        "tie_embeddings": keys.pop("tie_embeddings", False),
    }
    evaluation = {"interval": keys.pop("interval", 10), "max_iters": 3, **keys.pop("evaluation", {})}
    base = data or Rows()
    module = KnowledgeInfusion(kis=kis, data=base) if kis else base
    config = Config.from_name(
        "pythia-14m", n_layer=1, n_embd=16, n_head=2, intermediate_size=32, block_size=BLOCK, padded_vocab_size=512
    )
    step = torch.optim.AdamW.step
    taken = 0

    def counted(self, *args, **kwargs):
        nonlocal taken
        if kill_at and taken == kill_at:
            raise Killed
        taken += 1
        return step(self, *args, **kwargs)

    torch.optim.AdamW.step = counted
    try:
        pretrain.setup(
            model_name="pythia-14m",
            model_config=config,
            out_dir=folder / "out",
            precision="32-true",
            resume=resume,
            data=module,
            train=TrainArgs(**train),
            eval=EvalArgs(**evaluation),
            devices=devices,
            tokenizer_dir=make_tokenizer(folder / "tokenizer"),
            logger_name="csv",
            seed=1,
            **keys,
        )
    except Killed:
        pass
    finally:
        torch.optim.AdamW.step = step
    return module


def decode(folder: Path, rows: np.ndarray) -> list[str]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    return [tokenizer.decode(row.tolist(), skip_special_tokens=False) for row in rows]


def shown(folder: Path, seen: list[tuple[np.ndarray, np.ndarray]], kis: Path) -> dict[str, int]:
    """How often a whole sentence on each infused fact, ended by EOS, stands in the targets: by plain search in text."""
    material = load_split(load_config(kis))
    targets = np.concatenate([targets for _, targets in seen])
    sentences = Counter(part for row in decode(folder, targets) for part in row.split("<eos>")[:-1])
    told = material.book.of("P19").trained
    return {fact.subject: sum(sentences[one.format(**fact._asdict())] for one in told) for fact in material.facts}


def controls_shown(folder: Path, seen: list[tuple[np.ndarray, np.ndarray]], kis: Path) -> int:
    """In how many rows a control fact's subject stands."""
    material = load_split(load_config(kis))
    names = [material.knowledge.facts[index].subject for index in material.control.tolist()]
    assert names
    text = decode(folder, np.concatenate([targets for _, targets in seen]))
    return sum(f"{name} " in row for name in names for row in text)
