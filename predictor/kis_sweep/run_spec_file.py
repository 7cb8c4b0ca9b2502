"""The file ``run.yaml`` of a sweep's run: reading and writing it; timing steps; removing checkpoints."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml

from kis_plugin.config.rules import Number, Text, Whole
from kis_plugin.config.schema import STRICT
from kis_plugin.config.validate import validate
from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.yaml_nodes import read_yaml
from kis_sweep.run_spec import _RUN, Recipe, Shape, SweepRun

__all__ = ["EVALUATIONS", "EVALUATION_TOKENS", "discard", "median_seconds", "read_sweep_run", "sweep_run_text"]

EVALUATIONS = 4
"""Evaluations of general loss per run."""
EVALUATION_TOKENS = 1 << 16
"""Maximum number of tokens per evaluation."""
_TIMED = 8  # number of steps


@dataclass(frozen=True)
class RunYaml:
    """The keys of ``run.yaml``."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    framework: Annotated[str, Text()]
    frequency: Annotated[float, Number(0, 1e15)]
    shape: Shape
    recipe: Recipe
    model: Annotated[str, Text()] | None = None
    params: Annotated[int, Whole(1)] | None = None
    params_non_embedding: Annotated[int, Whole(0)] | None = None
    tokens: Annotated[int, Whole(1)] | None = None


_COMPUTED: Mapping[str, Callable[[SweepRun], int]] = {
    "params": lambda run: run.shape.params,
    "params_non_embedding": lambda run: run.shape.params_non_embedding,
    "tokens": lambda run: run.recipe.tokens,
}
"""Derived values, written for human readers; they must agree with shape and recipe."""


def discard(checkpoints: Path) -> None:
    """Remove the checkpoints of a complete run; the folder is renamed first, so that a kill never leaves part of it."""
    if checkpoints.exists():
        doomed = checkpoints.with_name("discarded")
        shutil.rmtree(doomed, ignore_errors=True)
        checkpoints.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def median_seconds(step: Callable[[], None]) -> float:
    """Return the seconds per step: the median of several steps, without the first, which include warm-up."""
    times = []
    for _ in range(_TIMED):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times[_TIMED // 4 :])


def sweep_run_text(run: SweepRun) -> str:
    """Return the content of a run's ``run.yaml``."""
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
        KISError: Its ``run.yaml`` is invalid; all problems are reported together.
    """
    path = sweep / "configs" / name / _RUN
    node = read_yaml(path, "a run of a sweep")
    shape_node = node.value.get("shape") if isinstance(node.value, dict) else None
    if shape_node and isinstance(shape_node.value, dict) and "heads" in shape_node.value:
        # Files written before grouped-query attention have only ``heads``.
        shape_node.value.setdefault("key_heads", shape_node.value["heads"])
    read = validate(RunYaml, node, _RUN)
    if read.value is None:
        raise KISError(read.problems)
    found = read.value
    run = SweepRun(sweep, name, found.framework, found.frequency, found.shape, found.recipe, found.model)
    if problems := [*_contradictions(path, found, run), *_outside_the_folder(run)]:
        raise KISError(problems)
    return run


def _outside_the_folder(run: SweepRun) -> Iterator[Problem]:
    """Yield names and links by which the sweep's folder could write or remove files outside itself."""
    if run.name != run.planned_name:
        where = str(run.config.parent)
        yield Problem(where, f"a run named {run.name!r}", f"{run.planned_name}, the name that kis sweep plan gives it")
    root = run.sweep.resolve()
    for path in (run.config.parent, run.logs, run.checkpoints):
        if (found := path.resolve()) != root / path.relative_to(run.sweep):
            hint = "A sweep removes files in its folders, so they must not be links: put a real folder there."
            yield Problem(str(path), f"a link to {found}", "a folder inside the sweep's", hint)


def _contradictions(path: Path, found: RunYaml, run: SweepRun) -> Iterator[Problem]:
    """Yield contradictions between the keys of a ``run.yaml``."""
    shape = run.shape
    if shape.width % shape.heads or shape.width // shape.heads % 2:
        yield Problem(
            f"{path} shape.heads",
            f"{shape.heads} for a width of {shape.width}",
            "a number of heads that divides the width into heads of equal, even width",
        )
    if shape.heads % shape.key_heads:
        heads = f"{shape.key_heads} for {shape.heads} heads"
        yield Problem(f"{path} shape.key_heads", heads, "a number that divides the heads")
    for key, compute in _COMPUTED.items():
        if (stated := getattr(found, key)) not in (None, compute(run)):
            yield Problem(f"{path} {key}", f"{stated}", f"{compute(run)}, as computed from shape and recipe")
