"""Runs through LitGPT's own ``setup`` that take a second, with every batch that a loss was taken of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from litgpt import Config, pretrain
from litgpt.args import EvalArgs, TrainArgs
from litgpt.data import DataModule
from tokenizers import Tokenizer
from torch.utils.data import DataLoader

from kis_litgpt import KnowledgeInfusion
from tests.world import facts
from tests.world.data import SEQUENCE_LENGTH, IdRows, Stream
from tests.world.tokenizers import write_lit_tokenizer

SMALL = {
    "n_layer": 2, "n_embd": 32, "n_head": 4, "vocab_size": 500, "padded_vocab_size": 512, "intermediate_size": 48,
    "block_size": 64,
}  # fmt: skip
GROUPED = {"n_query_groups": 2, "head_size": 8}


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
        rows = self._rows(self.count, self.sequence_length + 1 + self.width)
        keys = {"batch_size": self.batch_size, "num_workers": self.workers}
        if self.kind == "stream":
            return DataLoader(Stream(rows), **keys)
        cls = {"map": DataLoader, "forgetful": ForgetfulLoader, "stateful": StatefulLoader}[self.kind]
        return cls(rows, shuffle=self.shuffle and self.kind == "map", **keys)

    def val_dataloader(self):
        return DataLoader(self._rows(8, self.sequence_length + 1), batch_size=self.batch_size)

    def _rows(self, count: int, width: int) -> IdRows:
        return IdRows(count, self.tokenizer.processor.encode(" ".join(facts.WORDS)).ids, width)


def write_kis(folder: Path, **keys: Any) -> Path:
    """Write facts and ``kis.yaml``; keys given replace whole sections."""
    folder.mkdir(parents=True, exist_ok=True)
    facts.write_facts(folder)
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


def watch_training(
    monkeypatch: Any, seen: list[tuple[np.ndarray, np.ndarray]] | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Leave out compilation and the saving of command lines; note what the loss is taken of in training."""
    seen = [] if seen is None else seen
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
        "max_tokens": steps * accumulation * batch * devices * SEQUENCE_LENGTH + extra_tokens,
        "max_norm": 1.0,
        "lr_warmup_steps": 2,
        "tie_embeddings": keys.pop("tie_embeddings", False),
    }
    evaluation = {"interval": keys.pop("interval", 10), "max_iters": 3, **keys.pop("evaluation", {})}
    base = data or Rows()
    module = KnowledgeInfusion(kis=kis, data=base) if kis else base
    config = Config.from_name(
        "pythia-14m",
        n_layer=1,
        n_embd=16,
        n_head=2,
        intermediate_size=32,
        block_size=SEQUENCE_LENGTH,
        padded_vocab_size=512,
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
            tokenizer_dir=write_lit_tokenizer(folder / "tokenizer"),
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
    return facts.shown(_targets(folder, seen), kis)


def controls_shown(folder: Path, seen: list[tuple[np.ndarray, np.ndarray]], kis: Path) -> int:
    """In how many rows a control fact's subject stands."""
    return sum(facts.controls_shown(_targets(folder, seen), kis).values())


def _targets(folder: Path, seen: list[tuple[np.ndarray, np.ndarray]]) -> list[str]:
    return decode(folder, np.concatenate([targets for _, targets in seen]))
