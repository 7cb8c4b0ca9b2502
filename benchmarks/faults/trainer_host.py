"""The Trainer under kills: a run that writes down its batches, and the checkpoint that it goes on from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer, TrainingArguments, set_seed
from transformers.trainer import TRAINER_STATE_NAME

from benchmarks.faults import small_runs
from benchmarks.faults.killing import Report
from benchmarks.faults.timeline import Witness
from kis_hf import KnowledgeInfusion
from kis_torch.whole_files import damage_of_checkpoint, damage_of_exposures

__all__ = ["SAVE_EVERY", "checkpoint_of", "reported", "train"]

SAVE_EVERY = 3


class WitnessedTrainer(Trainer):
    """Writes each batch down before it is trained on, and reports phases."""

    witness: Witness
    report: Report

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Write the batch down."""
        if model.training:
            self.witness.batch(self.state.global_step, inputs["input_ids"].tolist())
            self.report("training")
        return super().compute_loss(model, inputs, *args, **kwargs)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        self.report("saving")
        super()._save_checkpoint(*args, **kwargs)  # type: ignore[no-untyped-call]


def reported(model: torch.nn.Module, report: Report) -> torch.nn.Module:
    """Report the beginning of each evaluation: the first forward pass without training after one with it."""
    trained = True

    def before(module: torch.nn.Module, *args: Any) -> None:
        nonlocal trained
        if trained and not module.training:
            report("evaluating")
        trained = module.training

    model.register_forward_pre_hook(before)
    return model


def checkpoint_of(folder: Path, rng: random.Random) -> tuple[str | None, int]:
    """Return the checkpoint to go on from, and its step.

    Half of the resumes take the newest one that the Trainer takes for whole, whose exposures may not have been written
    yet; the others the newest whose exposures are there, as ``kis sweep run`` does.
    """
    with_exposures = rng.random() < 0.5
    steps = sorted((int(path.name.rpartition("-")[2]) for path in folder.glob("out/checkpoint-*")), reverse=True)
    for step in steps:
        path = folder / "out" / f"checkpoint-{step}"
        if damage_of_checkpoint(path, TRAINER_STATE_NAME):
            continue
        if not (with_exposures and damage_of_exposures(folder / "runs", step)):
            return str(path), step
    return None, 0


def train(folder: Path, stream: bool, workers: int, seed: int, report: Report) -> None:
    """Train a run, from its last checkpoint if it has one; each call is one process."""
    torch.set_num_threads(1)
    rng = random.Random(f"{seed}-{len(list(folder.glob('output-*')))}")  # noqa: S311 (no secret)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=small_runs.small_tokenizer(), eos_token=small_runs.EOS)
    set_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=500, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=small_runs.LENGTH, bos_token_id=None, eos_token_id=0,
        )
    )  # fmt: skip
    rows = small_runs.Rows(small_runs.STEPS * small_runs.BATCH // 2)  # two epochs
    checkpoint, begun = checkpoint_of(folder, rng)
    trainer = WitnessedTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder / "out"),
            per_device_train_batch_size=small_runs.BATCH,
            max_steps=small_runs.STEPS,
            save_strategy="steps",
            save_steps=SAVE_EVERY,
            logging_steps=10,
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            dataloader_num_workers=workers,
            seed=seed,
        ),
        train_dataset=small_runs.Stream(rows) if stream else rows,
        callbacks=[KnowledgeInfusion(folder / "kis.yaml", tokenizer=tokenizer)],
    )
    reported(model, report)
    trainer.witness, trainer.report = Witness(folder, begun), report
    trainer.train(resume_from_checkpoint=checkpoint)
