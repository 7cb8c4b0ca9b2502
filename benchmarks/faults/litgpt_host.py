"""``litgpt pretrain`` under kills: a run that writes down its batches, and the checkpoint that it goes on from."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from litgpt import Config, pretrain
from litgpt.args import EvalArgs, TrainArgs
from litgpt.data import DataModule
from torch.utils.data import DataLoader

from benchmarks.faults import small_runs
from benchmarks.faults.killing import Report
from benchmarks.faults.timeline import Witness
from kis_litgpt import KnowledgeInfusion
from kis_litgpt.checkpoint_files import CONFIG, WEIGHTS
from kis_torch.whole_files import damage_of_checkpoint

__all__ = ["SAVE_EVERY", "train"]

SAVE_EVERY = 4


@dataclass
class SmallText(DataModule):
    """The small base text, map-style or as a stream."""

    stream: bool = False
    """Whether the rows come one after the other."""
    workers: int = 0
    """Of the loader."""
    tokenizer: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Begin unconnected."""
        super().__init__()

    def connect(self, tokenizer: Any = None, batch_size: int = 1, max_seq_length: int | None = None) -> None:
        """Take what LitGPT knows of the run."""
        self._batch, self._width = batch_size, int(max_seq_length or 0) + 1

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the rows of two epochs."""
        rows = small_runs.Rows(small_runs.STEPS * small_runs.BATCH // 2, self._width, bare=True)
        data: Any = small_runs.Stream(rows) if self.stream else rows
        return DataLoader(data, batch_size=self._batch, num_workers=self.workers, shuffle=None if self.stream else True)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return a few rows."""
        return DataLoader(small_runs.Rows(8, self._width, bare=True), batch_size=self._batch)


def _checkpoint_of(folder: Path) -> tuple[Path | None, int]:
    """Return the newest whole checkpoint and its step."""
    for path in sorted(folder.glob("out/step-*"), reverse=True):
        if not damage_of_checkpoint(path, WEIGHTS, CONFIG):
            return path / WEIGHTS, int(path.name.removeprefix("step-"))
    return None, 0


def train(folder: Path, stream: bool, workers: int, seed: int, report: Report) -> None:
    """Train a run, from its last checkpoint if it has one; each call is one process."""
    torch.set_num_threads(1)
    random.seed(0)
    checkpoint, begun = _checkpoint_of(folder)
    witness, step, trained = Witness(folder, begun), begun, True
    forward, save = pretrain.GPT.forward, pretrain.save_checkpoint

    def watched_forward(self: Any, idx: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal step, trained
        if idx.device.type != "meta":
            training = torch.is_grad_enabled()
            if training:
                witness.batch(step, idx.tolist())
                step += 1
                report("training")
            elif trained:
                report("evaluating")
            trained = training
        return forward(self, idx, *args, **kwargs)

    @functools.wraps(save)
    def watched_save(*args: Any, **kwargs: Any) -> Any:
        report("saving")
        return save(*args, **kwargs)

    pretrain.GPT.forward = watched_forward
    pretrain.save_checkpoint = watched_save
    pretrain.save_hyperparameters = lambda *args: None  # it reads the command line, which is that of the soak
    torch.compile = lambda model, *args, **kwargs: model  # type: ignore[assignment]
    tokens = small_runs.STEPS * small_runs.BATCH * small_runs.LENGTH
    pretrain.setup(
        model_name="pythia-14m",
        model_config=Config.from_name(
            "pythia-14m", n_layer=1, n_embd=16, n_head=2, intermediate_size=32, block_size=small_runs.LENGTH,
            padded_vocab_size=512,
        ),
        out_dir=folder / "out",
        precision="32-true",
        resume=checkpoint or False,
        data=KnowledgeInfusion(kis=folder / "kis.yaml", data=SmallText(stream, workers)),
        train=TrainArgs(
            save_interval=SAVE_EVERY, log_interval=10, global_batch_size=small_runs.BATCH,
            micro_batch_size=small_runs.BATCH, max_tokens=tokens, max_norm=1.0, lr_warmup_steps=2,
        ),
        eval=EvalArgs(interval=9, max_iters=2),
        devices=1,
        tokenizer_dir=small_runs.write_tokenizer(folder / "tokenizer"),
        logger_name="csv",
        seed=1,
    )  # fmt: skip
