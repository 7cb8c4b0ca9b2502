"""The file ``run.yaml`` of a sweep's run: reading, writing, and timing what it describes."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from kis_plugin.config.field_checks import Schema, check, flag, number, one_of, optional, text, whole
from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.yaml_nodes import read_yaml
from kis_sweep.run_spec import _RUN, PRECISIONS, Recipe, Shape, SweepRun

__all__ = ["EVALUATIONS", "EVALUATION_TOKENS", "discard", "median_seconds", "read_sweep_run", "sweep_run_text"]

EVALUATIONS = 4
"""Measurements of general loss in a run."""
EVALUATION_TOKENS = 1 << 16
"""Tokens that each is made on, at most."""
_TIMED = 8  # steps


_SCHEMA: Schema = {
    "framework": text,
    "frequency": number(0, 1e15),
    "model": optional(text),
    "shape": {
        "layers": whole(1), "width": whole(2), "heads": whole(1), "key_heads": whole(1), "feed_forward": whole(1),
        "vocabulary": whole(2), "tied": flag,
    },
    "recipe": {
        "steps": whole(1), "batch": whole(1), "sequence_length": whole(2), "learning_rate": number(0, 1e3),
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
