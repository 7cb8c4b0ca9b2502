"""Trains one run of a sweep with the Trainer: a Llama of the run's shape, by its recipe, with the KIS callback."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch.utils.data import Dataset
from transformers import AutoConfig, AutoTokenizer, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments, set_seed
from transformers.trainer import TRAINER_STATE_NAME

from kis_hf.callback import KnowledgeInfusion
from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import to_stderr
from kis_plugin.storage.npy_files import open_mapped
from kis_plugin.tokenized.load_tokenizer import names_a_missing_folder
from kis_sweep.run_spec import Shape, SweepRun
from kis_sweep.run_spec_file import EVALUATION_TOKENS, EVALUATIONS, discard
from kis_torch.sweep_rows import PackedRows
from kis_torch.sweep_rows import seconds_per_step as timed_step
from kis_torch.whole_files import damage_of_checkpoint, damage_of_exposures

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")

__all__ = ["build_model", "seconds_per_step", "shape_of", "train"]


class _Examples(Dataset[dict[str, torch.Tensor]]):
    """Packed rows as the Trainer takes them: each row is its own labels."""

    def __init__(self, rows: PackedRows) -> None:
        self._rows = rows
        self.distinct_rows = rows.distinct_rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = self._rows[index]  # (T,)
        return {"input_ids": ids, "labels": ids}


def build_model(shape: Shape, sequence_length: int, seed: int, eos: int | None = None) -> Any:
    """Return a Llama of a shape, with random weights."""
    set_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.feed_forward,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.key_heads,
            max_position_embeddings=sequence_length,
            tie_word_embeddings=shape.tied,
            bos_token_id=None,
            eos_token_id=eos,
        )
    )


def shape_of(model: str, sequence_length: int) -> Shape:
    """Return the shape of a trained Llama that runs with rows of ``sequence_length`` tokens continue from.

    Args:
        model: A folder or a name, as ``from_pretrained`` takes it.
        sequence_length: Tokens of a row.

    Raises:
        KISError: There is no such model; it is no Llama, or one with biases; it takes shorter rows.
    """
    where = f"model {model}"
    if names_a_missing_folder(model):
        raise KISError(Problem(where, "no such folder", "a folder that save_pretrained wrote, or a name on the hub"))
    try:
        config: Any = AutoConfig.from_pretrained(model, trust_remote_code=False)
    except (OSError, ValueError, StrictDataclassError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise KISError(Problem(where, reason, "a causal language model")) from error
    if Path(model).is_dir() and not any(glob for end in _WEIGHTS for glob in Path(model).glob(end)):
        raise KISError(Problem(where, "no weights", " or ".join(_WEIGHTS), "save_pretrained writes them."))
    if config.model_type != "llama" or config.attention_bias or config.mlp_bias:
        found = "a Llama with biases" if config.model_type == "llama" else f"a {config.model_type} model"
        hint = "Others take the callback in a training script of their own: docs/how-to/huggingface.md."
        raise KISError(Problem(where, found, "a Llama without biases", hint))
    if config.max_position_embeddings < sequence_length:
        raise KISError(
            Problem(where, f"rows of up to {config.max_position_embeddings:,}", f"{sequence_length:,}, as --block says")
        )
    if config.head_dim * config.num_attention_heads != config.hidden_size:
        found = f"{config.num_attention_heads} heads of {config.head_dim} for a width of {config.hidden_size}"
        raise KISError(Problem(where, found, "heads that are the width together"))
    return Shape(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        key_heads=config.num_key_value_heads,
        feed_forward=config.intermediate_size,
        vocabulary=config.vocab_size,
        tied=config.tie_word_embeddings,
    )


def train(run: SweepRun) -> None:
    """Train a run to its end, from its last checkpoint if it has one.

    Raises:
        KISError: Anything wrong with the run's configuration.
    """
    recipe, checkpoints, last = run.recipe, run.checkpoints, _last_whole(run)
    tokenizer = AutoTokenizer.from_pretrained(str(run.tokenizer), trust_remote_code=False)
    trainer = Trainer(
        model=_model(run, tokenizer.eos_token_id, last),
        args=_arguments(run, checkpoints),
        train_dataset=_Examples(PackedRows(run.rows, recipe.sequence_length, recipe.steps * recipe.batch)),
        eval_dataset=_Examples(PackedRows(run.held_out_rows, recipe.sequence_length, _evaluation_rows(run))),
        callbacks=[KnowledgeInfusion(run.config, tokenizer=tokenizer)],
    )
    if last is None:
        shutil.rmtree(run.logs, ignore_errors=True)  # of an attempt that ended before its first checkpoint
    trainer.train(resume_from_checkpoint=last)
    if recipe.keep_model:
        trainer.save_model(str(run.work / "model"))
        shutil.copytree(run.tokenizer, run.work / "model", dirs_exist_ok=True)
    discard(checkpoints)


def _model(run: SweepRun, eos: int, last: str | None) -> Any:
    """Return the model that a run begins with, or that of its last checkpoint."""
    if run.model is None:
        return build_model(run.shape, run.recipe.sequence_length, run.recipe.seed, eos)
    if last is None:
        run.refuse_other(shape_of(run.model, run.recipe.sequence_length))
    set_seed(run.recipe.seed)
    return LlamaForCausalLM.from_pretrained(last or run.model, dtype=torch.float32)


def _last_whole(run: SweepRun) -> str | None:
    """Return the last whole checkpoint, None if there is none; those after it are named and removed.

    The exposures so far are written when all of the Trainer's own files are.
    """
    steps = (path.name.rpartition("-")[2] for path in run.checkpoints.glob("checkpoint-*"))
    for step in sorted((int(step) for step in steps if step.isdecimal()), reverse=True):
        path = run.checkpoints / f"checkpoint-{step}"
        damage = damage_of_checkpoint(path, TRAINER_STATE_NAME) or damage_of_exposures(run.logs, step)
        if not damage:
            return str(path)
        to_stderr(f"kis: {path} is not whole ({damage}): removed; the run goes on from the one before")
        shutil.rmtree(path)
    return None


def seconds_per_step(run: SweepRun) -> float:
    """Return how long a step takes on this machine with nothing running beside it."""
    model = build_model(run.shape, run.recipe.sequence_length, run.recipe.seed)
    rows = PackedRows(run.rows, run.recipe.sequence_length, run.recipe.batch)
    return timed_step(run.recipe, model, rows, lambda model, ids: model(input_ids=ids, labels=ids).loss)


def _evaluation_rows(run: SweepRun) -> int:
    tokens = min(len(open_mapped(str(run.held_out_rows))), EVALUATION_TOKENS)
    return max(tokens // run.recipe.sequence_length, 1)


def _arguments(run: SweepRun, checkpoints: Path) -> TrainingArguments:
    recipe = run.recipe
    return TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": recipe.least_rate},
        warmup_steps=max(round(recipe.warmup * recipe.steps), 1),
        weight_decay=recipe.weight_decay,
        adam_beta2=0.95,
        max_grad_norm=recipe.clip,
        bf16=recipe.precision == "bf16",
        torch_compile=recipe.compile,
        eval_strategy="steps",
        eval_steps=math.ceil(recipe.steps / EVALUATIONS),
        save_strategy="steps",
        save_steps=math.ceil(recipe.steps / recipe.saves),
        save_total_limit=2,  # the one before is whole while the last is written
        logging_steps=max(recipe.steps // 20, 1),
        report_to="none",
        disable_tqdm=True,
        seed=recipe.seed,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
    )
