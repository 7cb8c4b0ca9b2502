"""Trains one run of a sweep by ``litgpt pretrain``: a Llama of the run's shape, by its recipe."""

from __future__ import annotations

import math
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
import yaml
from litgpt import GPT, Config
from litgpt.__main__ import main as litgpt
from litgpt.data import DataModule
from litgpt.utils import chunked_cross_entropy
from torch.utils.data import DataLoader, Dataset

from kis_plugin.mapped import open_mapped
from kis_plugin.sweep_run import EVALUATION_TOKENS, EVALUATIONS, Shape, SweepRun, discard, median_seconds

__all__ = ["PackedText", "config_of", "seconds_per_step", "train"]

_PRECISION = {"32": "32-true", "bf16": "bf16-mixed"}


class _Rows(Dataset[torch.Tensor]):
    """Tokens end to end as rows of ``length``; more than the text has are read from its beginning again."""

    def __init__(self, path: Path, length: int, rows: int | None = None) -> None:
        tokens = open_mapped(str(path))
        self._rows = tokens[: len(tokens) // length * length].reshape(-1, length)  # (rows, T + 1)
        self._count = len(self._rows) if rows is None else rows

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self._rows[index % len(self._rows)]).astype(np.int64))  # (T + 1,)


@dataclass
class PackedText(DataModule):
    """The base text of a sweep, in a seeded order."""

    text: Path
    """A .npy of tokens that are trained on, end to end."""
    held_out: Path
    """Tokens that are not, likewise."""
    rows: int
    """Rows of the whole run; a shorter text is read again."""
    seed: int
    """Of the order of the rows."""

    def __post_init__(self) -> None:
        """Begin unconnected."""
        super().__init__()
        self._batch, self._length = 1, 0

    def connect(self, tokenizer: Any = None, batch_size: int = 1, max_seq_length: int | None = None) -> None:
        """Take what LitGPT knows of the run."""
        self._batch, self._length = batch_size, int(max_seq_length or 0) + 1

    def train_dataloader(self) -> DataLoader[torch.Tensor]:
        """Return as many rows as the run takes."""
        rows = _Rows(Path(self.text), self._length, self.rows)
        generator = torch.Generator().manual_seed(self.seed)
        return DataLoader(rows, batch_size=self._batch, shuffle=True, generator=generator, drop_last=True)

    def val_dataloader(self) -> DataLoader[torch.Tensor]:
        """Return the text that is not trained on."""
        return DataLoader(_Rows(Path(self.held_out), self._length), batch_size=self._batch)


def config_of(shape: Shape, block: int) -> dict[str, Any]:
    """Return LitGPT's configuration of a shape, as ``model_config`` names its parts."""
    return {
        "name": "kis-sweep",
        "block_size": block,
        "vocab_size": shape.vocabulary,
        "padded_vocab_size": shape.vocabulary,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_embd": shape.width,
        "intermediate_size": shape.feed_forward,
        "rotary_percentage": 1.0,
        "parallel_residual": False,
        "bias": False,
        "norm_class_name": "RMSNorm",
        "mlp_class_name": "LLaMAMLP",
    }


def train(run: SweepRun) -> None:
    """Train a run to its end, from its last checkpoint if it has one.

    Raises:
        KISError: Anything wrong with the run's configuration.
    """
    out = run.checkpoints
    for path in out.rglob("step-*/*.pth"):
        if not is_zipfile(path):  # torn: a torch file begins to be one with its last bytes
            shutil.rmtree(path.parent)
    if not any(out.rglob("step-*/*.pth")):
        shutil.rmtree(run.logs, ignore_errors=True)  # of a try that never came to a checkpoint
        shutil.rmtree(out, ignore_errors=True)
    config = run.work / "pretrain.yaml"
    config.write_text(yaml.safe_dump(_pretrain(run, out), sort_keys=False), encoding="utf-8")
    # LitGPT reads its arguments from the command line again when it saves them beside a checkpoint.
    sys.argv = ["litgpt", "pretrain", "kis-sweep", "--config", str(config)]
    litgpt()
    if run.recipe.keep_model:
        shutil.copytree(out / "final", run.work / "model", dirs_exist_ok=True)
    discard(out)


def _pretrain(run: SweepRun, out: Path) -> dict[str, Any]:
    """Return what ``litgpt pretrain --config`` reads."""
    recipe = run.recipe
    rows = recipe.steps * recipe.batch
    text = {"text": str(run.rows), "held_out": str(run.held_out_rows), "rows": rows, "seed": recipe.seed}
    data = {"class_path": "kis_litgpt.sweep_training.PackedText", "init_args": text}
    return {
        "model_config": config_of(run.shape, recipe.block),
        "data": {"class_path": "kis_litgpt.KnowledgeInfusion", "init_args": {"kis": str(run.config), "data": data}},
        "train": {
            "save_interval": math.ceil(recipe.steps / recipe.saves),
            "log_interval": max(recipe.steps // 20, 1),
            "global_batch_size": recipe.batch,
            "micro_batch_size": recipe.batch,
            "lr_warmup_steps": max(round(recipe.warmup * recipe.steps), 1),
            "max_tokens": recipe.tokens,
            "max_seq_length": recipe.block,
            "tie_embeddings": run.shape.tied,
            "max_norm": recipe.clip or None,
            "min_lr": recipe.least_rate * recipe.learning_rate,
        },
        "eval": {
            "interval": math.ceil(recipe.steps / EVALUATIONS),
            "max_iters": max(EVALUATION_TOKENS // (recipe.batch * recipe.block), 1),
        },
        "optimizer": {
            "class_path": "torch.optim.AdamW",
            "init_args": {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "betas": [0.9, 0.95]},
        },
        "out_dir": str(out),
        "precision": _PRECISION[recipe.precision],
        "resume": "auto",
        "devices": 1,
        "tokenizer_dir": str(run.tokenizer),
        "logger_name": "csv",
        "seed": recipe.seed,
    }


def seconds_per_step(run: SweepRun) -> float:
    """Return how long a step takes on this machine, with nothing beside it: the median of a few, on one core of it."""
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = GPT(Config(**config_of(run.shape, run.recipe.block))).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.recipe.learning_rate)
    rows = _Rows(run.rows, run.recipe.block + 1, run.recipe.batch)
    batch = torch.stack([rows[row] for row in range(len(rows))]).to(device)  # (batch, T + 1)

    def step() -> None:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=run.recipe.precision == "bf16"):
            logits = model(batch[:, :-1])  # (batch, T, V)
        loss = chunked_cross_entropy(logits, batch[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        float(loss.detach())  # waits for a GPU

    return median_seconds(step)
