"""Trains one run of a sweep by ``litgpt pretrain``: a Llama of the run's shape, by its recipe."""

from __future__ import annotations

import math
import shutil
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import yaml
from litgpt import GPT, Config
from litgpt.__main__ import main as litgpt
from litgpt.data import DataModule
from litgpt.utils import chunked_cross_entropy
from torch.utils.data import DataLoader

from kis_litgpt.checkpoint_files import CONFIG, WEIGHTS
from kis_litgpt.saved import is_tied, read_config, read_weights
from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import to_stderr
from kis_plugin.storage.atomic_write import write_atomically
from kis_sweep.run_spec import Shape, SweepRun
from kis_sweep.run_spec_file import EVALUATION_TOKENS, EVALUATIONS, discard
from kis_torch.sweep_rows import PackedRows
from kis_torch.sweep_rows import seconds_per_step as timed_step
from kis_torch.whole_files import damage_of_checkpoint, damage_of_exposures

__all__ = ["PackedText", "config_of", "config_on_from", "plain_shape", "seconds_per_step", "shape_of", "train"]

_OWN = ("vocab_size", "padding_multiple", "norm_eps", "rope_base", "rope_condense_ratio", "rope_adjustments")
"""Fields in which two Llamas of one shape may differ."""
_PRECISION = {"32": "32-true", "bf16": "bf16-mixed"}


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
        rows = PackedRows(Path(self.text), self._length, self.rows)
        generator = torch.Generator().manual_seed(self.seed)
        return DataLoader(rows, batch_size=self._batch, shuffle=True, generator=generator, drop_last=True)

    def val_dataloader(self) -> DataLoader[torch.Tensor]:
        """Return the text that is not trained on."""
        return DataLoader(PackedRows(Path(self.held_out), self._length), batch_size=self._batch)


def config_of(shape: Shape, sequence_length: int) -> dict[str, Any]:
    """Return LitGPT's configuration of a shape, as ``model_config`` names its parts."""
    return {
        "name": "kis-sweep",
        "block_size": sequence_length,
        "vocab_size": shape.vocabulary,
        "padded_vocab_size": shape.vocabulary,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_query_groups": shape.key_heads,
        "n_embd": shape.width,
        "intermediate_size": shape.feed_forward,
        "rotary_percentage": 1.0,
        "parallel_residual": False,
        "bias": False,
        "norm_class_name": "RMSNorm",
        "mlp_class_name": "LLaMAMLP",
    }


def shape_of(model: str, sequence_length: int) -> Shape:
    """Return the shape of a trained Llama that runs with rows of ``sequence_length`` tokens continue from.

    Args:
        model: A folder with ``lit_model.pth`` and ``model_config.yaml``.
        sequence_length: Tokens of a row.

    Raises:
        KISError: There is no such model; it is none that ``config_of`` describes; it takes shorter rows.
    """
    return plain_shape(model, read_config(Path(model)), is_tied(read_weights(Path(model), bare=True)), sequence_length)


def plain_shape(model: str, config: Config, tied: bool, sequence_length: int) -> Shape:
    """Return the shape that a configuration of LitGPT describes, of a ``model`` that errors name.

    Raises:
        KISError: It is none that ``config_on_from`` describes; it takes shorter rows.
    """
    if config.n_embd % config.n_head:
        found = f"{config.n_head} for a width of {config.n_embd}"
        raise KISError(Problem(f"model {model} n_head", found, "heads that are the width together"))
    shape = Shape(
        layers=config.n_layer,
        width=config.n_embd,
        heads=config.n_head,
        key_heads=config.n_query_groups or config.n_head,
        feed_forward=config.intermediate_size or 4 * config.n_embd,
        vocabulary=config.padded_vocab_size or 0,
        tied=tied,
    )
    if config.block_size < sequence_length:
        raise KISError(
            Problem(f"model {model}", f"rows of up to {config.block_size:,}", f"{sequence_length:,}, as --block says")
        )
    wanted = Config(**config_on_from(shape, config))
    for field in fields(Config):
        found, expected = getattr(config, field.name), getattr(wanted, field.name)
        if field.name not in ("name", "hf_config") and found != expected:
            raise KISError(
                Problem(f"model {model} {field.name}", repr(found), f"{expected!r}, as a plain Llama has it")
            )
    return shape


def config_on_from(shape: Shape, config: Config) -> dict[str, Any]:
    """Return ``config_of`` a trained model, keeping its own positions and padding of the vocabulary."""
    return config_of(shape, config.block_size) | {key: getattr(config, key) for key in _OWN}


def train(run: SweepRun) -> None:
    """Train a run to its end, from its last checkpoint if it has one.

    Raises:
        KISError: Anything wrong with the run's configuration.
    """
    out = run.checkpoints
    for path in sorted(out.rglob("step-*")):
        step = path.name.removeprefix("step-")
        damage = damage_of_checkpoint(path, WEIGHTS, CONFIG)
        if not damage and step.isdecimal():
            damage = damage_of_exposures(run.logs, int(step))
        if damage:
            to_stderr(f"kis: {path} is not whole ({damage}): removed; the run goes on from the one before")
            shutil.rmtree(path)
    begun = any(out.rglob("step-*/*.pth"))
    if not begun:
        shutil.rmtree(run.logs, ignore_errors=True)  # of an attempt that ended before its first checkpoint
        shutil.rmtree(out, ignore_errors=True)
    config = run.work / "pretrain.yaml"
    write_atomically(config, yaml.safe_dump(_pretrain(run, out, begun), sort_keys=False))
    # LitGPT reads its arguments from the command line again when it saves them beside a checkpoint.
    sys.argv = ["litgpt", "pretrain", "kis-sweep", "--config", str(config)]
    litgpt()
    if run.recipe.keep_model:
        _keep_model(out / "final", run.work / "model")
    discard(out)


def _keep_model(final: Path, kept: Path) -> None:
    """Copy the last checkpoint without the optimizer's state, which LitGPT takes for no model.

    ``litgpt convert_pretrained_checkpoint`` does so too, and separates a tied output layer from its embedding.
    """
    shutil.copytree(final, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns(WEIGHTS))
    torch.save(read_weights(final), kept / WEIGHTS)


def _pretrain(run: SweepRun, out: Path, begun: bool) -> dict[str, Any]:
    """Return what ``litgpt pretrain --config`` reads; it refuses an initial model beside a checkpoint to resume."""
    recipe = run.recipe
    config = config_of(run.shape, recipe.sequence_length)
    if run.model and begun:
        config = config_on_from(run.shape, read_config(next(out.rglob("step-*/*.pth")).parent))
    elif run.model:
        run.refuse_other(shape_of(run.model, recipe.sequence_length))
        config = config_on_from(run.shape, read_config(Path(run.model)))
    rows = recipe.steps * recipe.batch
    text = {"text": str(run.rows), "held_out": str(run.held_out_rows), "rows": rows, "seed": recipe.seed}
    data = {"class_path": "kis_litgpt.sweep_training.PackedText", "init_args": text}
    return {
        "model_config": config,
        "data": {"class_path": "kis_litgpt.KnowledgeInfusion", "init_args": {"kis": str(run.config), "data": data}},
        "train": {
            "save_interval": math.ceil(recipe.steps / recipe.saves),
            "log_interval": max(recipe.steps // 20, 1),
            "global_batch_size": recipe.batch,
            "micro_batch_size": recipe.batch,
            "lr_warmup_steps": max(round(recipe.warmup * recipe.steps), 1),
            "max_tokens": recipe.tokens,
            "max_seq_length": recipe.sequence_length,
            "tie_embeddings": run.shape.tied,
            "max_norm": recipe.clip or None,
            "min_lr": recipe.least_rate * recipe.learning_rate,
        },
        "eval": {
            "interval": math.ceil(recipe.steps / EVALUATIONS),
            "max_iters": max(EVALUATION_TOKENS // (recipe.batch * recipe.sequence_length), 1),
        },
        "optimizer": {
            "class_path": "torch.optim.AdamW",
            "init_args": {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "betas": [0.9, 0.95]},
        },
        "out_dir": str(out),
        "precision": _PRECISION[recipe.precision],
        **({"initial_checkpoint_dir": run.model} if run.model and not begun else {"resume": "auto"}),
        "devices": 1,
        "tokenizer_dir": str(run.tokenizer),
        "logger_name": "csv",
        "seed": recipe.seed,
    }


def seconds_per_step(run: SweepRun) -> float:
    """Return how long a step takes on this machine with nothing running beside it."""
    model = GPT(Config(**config_of(run.shape, run.recipe.sequence_length)))
    rows = PackedRows(run.rows, run.recipe.sequence_length + 1, run.recipe.batch)
    return timed_step(run.recipe, model, rows, lambda model, ids: chunked_cross_entropy(model(ids[:, :-1]), ids[:, 1:]))
