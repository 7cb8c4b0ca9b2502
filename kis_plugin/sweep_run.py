"""One run of a sweep: a Llama of some shape, trained by some recipe, as a file that any framework trains from.

A sweep's folder holds ``configs/NAME/run.yaml`` and ``kis.yaml`` of each run, what all runs read in ``data``, their run
logs in ``runs/NAME``, and in ``work/NAME`` what a run needs to go on after it was stopped.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from kis_plugin.config_check import Schema, check, flag, number, one_of, optional, text, whole
from kis_plugin.errors import KISError, Problem
from kis_plugin.yaml_file import read_yaml

__all__ = [
    "EVALUATIONS", "EVALUATION_TOKENS", "PRECISIONS", "Recipe", "Shape", "SweepRun", "discard", "median_seconds",
    "read_sweep_run", "sweep_run_text",
]  # fmt: skip

EVALUATIONS = 4
"""Measurements of general loss in a run."""
EVALUATION_TOKENS = 1 << 16
"""Tokens that each is made on, at most."""

PRECISIONS = ("32", "bf16")
_RUN, _KIS = "run.yaml", "kis.yaml"
_TIMED = 8  # steps


@dataclass(frozen=True)
class Shape:
    """A Llama: RMSNorm, SwiGLU, rotary positions, no biases."""

    layers: int
    width: int
    heads: int
    key_heads: int
    """Heads of keys and values, each shared by as many queries (Ainslie et al. 2023, arXiv 2305.13245)."""
    feed_forward: int
    """Width of the feed-forward layer."""
    vocabulary: int
    """Rows of the embedding table."""
    tied: bool
    """Whether the output layer is the embedding table."""

    @property
    def params(self) -> int:
        """Model size N: all parameters, tied ones once."""
        return self.params_non_embedding + self.vocabulary * self.width * (1 if self.tied else 2)

    @property
    def params_non_embedding(self) -> int:
        """Parameters that are neither embedding table nor output layer."""
        keys = self.width // self.heads * self.key_heads
        layer = 2 * self.width * (self.width + keys) + 3 * self.width * self.feed_forward + 2 * self.width
        return self.layers * layer + self.width


@dataclass(frozen=True)
class Recipe:
    """How a run is trained: AdamW (beta 0.9 and 0.95), a linear warmup, then a cosine."""

    steps: int
    batch: int
    """Rows of a step."""
    block: int
    """Tokens of a row, T."""
    learning_rate: float
    least_rate: float
    """Where the cosine ends, as a part of ``learning_rate``."""
    warmup: float
    """Part of the steps."""
    weight_decay: float
    clip: float
    """Norm that gradients are clipped to; 0 leaves them."""
    precision: str
    """One of ``PRECISIONS``."""
    compile: bool
    """Whether the model is compiled."""
    saves: int
    """Checkpoints of a run, so that a killed one continues."""
    keep_model: bool
    """Whether the trained model stays in ``work/NAME/model``."""
    seed: int
    """Of the weights, and of the order of the rows."""

    @property
    def tokens(self) -> int:
        """Token budget D."""
        return self.steps * self.batch * self.block


@dataclass(frozen=True)
class SweepRun:
    """One run: what it is, and where all of it lies."""

    sweep: Path
    """The sweep's folder."""
    name: str
    framework: str
    """What trains it, as registered by ``kis_register_frameworks``."""
    frequency: float
    """Infusion frequency F, as in its ``kis.yaml``."""
    shape: Shape
    recipe: Recipe
    model: str | None = None
    """The trained model that it goes on from, as its framework reads it; None begins with random weights."""

    @property
    def config(self) -> Path:
        """The configuration of KIS for this run."""
        return self.sweep / "configs" / self.name / _KIS

    @property
    def settings(self) -> Path:
        """The file that holds all of this."""
        return self.config.with_name(_RUN)

    @property
    def logs(self) -> Path:
        """The folder that its ``kis.yaml`` names for its run log."""
        return self.sweep / "runs" / self.name

    @property
    def work(self) -> Path:
        """The run's own folder: checkpoints, output, what went wrong."""
        return self.sweep / "work" / self.name

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints: it is gone when all of the run is done."""
        return self.work / "checkpoints"

    @property
    def tokenizer(self) -> Path:
        """The folder of the tokenizer that all runs share."""
        return self.sweep / "data" / "tokenizer"

    @property
    def rows(self) -> Path:
        """Base text: a ``.npy`` of tokens, (tokens,), packed end to end, each document ended by EOS."""
        return self.sweep / "data" / "text.npy"

    @property
    def held_out_rows(self) -> Path:
        """General text that is not trained on, likewise."""
        return self.sweep / "data" / "held_out.npy"

    @property
    def flops(self) -> float:
        """Cost of training, 6ND (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""
        return 6.0 * self.shape.params * self.recipe.tokens

    def refuse_other(self, found: Shape) -> None:
        """Refuse a trained model that is no longer what was planned.

        Raises:
            KISError: ``found`` is not this run's shape.
        """
        if found != self.shape:
            raise KISError(Problem(f"model {self.model}", f"{found}", f"{self.shape}, as {self.settings} says"))


_SCHEMA: Schema = {
    "framework": text,
    "frequency": number(0, 1e15),
    "model": optional(text),
    "shape": {
        "layers": whole(1), "width": whole(2), "heads": whole(1), "key_heads": whole(1), "feed_forward": whole(1),
        "vocabulary": whole(2), "tied": flag,
    },
    "recipe": {
        "steps": whole(1), "batch": whole(1), "block": whole(2), "learning_rate": number(0, 1e3),
        "least_rate": number(0, 1), "warmup": number(0, 1), "weight_decay": number(0, 1e3), "clip": number(0, 1e6),
        "precision": one_of(*PRECISIONS, absent={}), "compile": flag, "saves": whole(1), "keep_model": flag,
        "seed": whole(0),
    },
    "params": whole(1),
    "params_non_embedding": whole(0),
    "tokens": whole(1),
}  # fmt: skip
_COMPUTED: Mapping[str, Callable[[SweepRun], int]] = {
    "params": lambda run: run.shape.params,
    "params_non_embedding": lambda run: run.shape.params_non_embedding,
    "tokens": lambda run: run.recipe.tokens,
}
"""What ``run.yaml`` states for people; it must agree with the rest."""


def discard(checkpoints: Path) -> None:
    """Remove the checkpoints of a run that is done: all at once, so that a kill leaves no part of them."""
    if checkpoints.exists():
        away = checkpoints.with_name("discarded")
        shutil.rmtree(away, ignore_errors=True)
        checkpoints.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def median_seconds(step: Callable[[], None]) -> float:
    """Return how long a step takes: the median of a few, the first ones left out."""
    times = []
    for _ in range(_TIMED):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times[_TIMED // 4 :])


def sweep_run_text(run: SweepRun) -> str:
    """Return a run's ``run.yaml``."""
    values = {
        "framework": run.framework,
        "frequency": run.frequency,
        "model": run.model,
        **{name: compute(run) for name, compute in _COMPUTED.items()},
        "shape": asdict(run.shape),
        "recipe": asdict(run.recipe),
    }
    text: str = yaml.safe_dump(values, sort_keys=False)
    return text


def read_sweep_run(sweep: Path, name: str) -> SweepRun:
    """Read the run ``name`` of a sweep.

    Raises:
        KISError: Anything wrong with its ``run.yaml``, all of it at once.
    """
    path = sweep / "configs" / name / _RUN
    node, problems = read_yaml(path, "a run of a sweep"), list[Problem]()
    values = check(node, _SCHEMA, problems, file=_RUN)
    wanted = {
        "": ("framework", "frequency", "shape", "recipe"),
        "shape.": [field.name for field in fields(Shape) if field.name != "key_heads"],
        "recipe.": [field.name for field in fields(Recipe)],
    }
    if not problems:
        for prefix, names in wanted.items():
            inside: Mapping[str, Any] = values.get(prefix.rstrip("."), {}) if prefix else values
            problems += [Problem(f"{path} {prefix}{key}", "nothing", "a value") for key in names if key not in inside]
    if problems:
        raise KISError(problems)
    # Files of before there were two kinds of heads, and models to go on from, say nothing of them.
    shape = Shape(**({"key_heads": values["shape"]["heads"]} | values["shape"]))
    recipe = Recipe(**values["recipe"])
    run = SweepRun(sweep, name, values["framework"], values["frequency"], shape, recipe, values.get("model"))
    if shape.width % shape.heads or shape.width // shape.heads % 2:
        found = f"{shape.heads} for a width of {shape.width}"
        problems.append(Problem(f"{path} shape.heads", found, "heads of one even width"))
    if shape.heads % shape.key_heads:
        found = f"{shape.key_heads} for {shape.heads} heads"
        problems.append(Problem(f"{path} shape.key_heads", found, "a number that divides the heads"))
    problems += [
        Problem(f"{path} {key}", str(values[key]), f"{compute(run)}, as shape and recipe make it")
        for key, compute in _COMPUTED.items()
        if key in values and values[key] != compute(run)
    ]
    if problems:
        raise KISError(problems)
    return run
