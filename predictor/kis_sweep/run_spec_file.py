"""The file ``run.yaml`` of a sweep's run: reading, writing, and timing what it describes."""

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
"""Measurements of general loss in a run."""
EVALUATION_TOKENS = 1 << 16
"""Tokens that each is made on, at most."""
_TIMED = 8  # steps


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
    node = read_yaml(path, "a run of a sweep")
    shape_node = node.value.get("shape") if isinstance(node.value, dict) else None
    if shape_node and isinstance(shape_node.value, dict) and "heads" in shape_node.value:
        # Files of before there were two kinds of heads have one.
        shape_node.value.setdefault("key_heads", shape_node.value["heads"])
    read = validate(RunYaml, node, _RUN)
    if read.value is None:
        raise KISError(read.problems)
    found = read.value
    run = SweepRun(sweep, name, found.framework, found.frequency, found.shape, found.recipe, found.model)
    if problems := [*_contradictions(path, found, run), *_misplaced(run)]:
        raise KISError(problems)
    return run


def _misplaced(run: SweepRun) -> Iterator[Problem]:
    """Yield what would let a sweep's folder from someone else write or remove files outside of it."""
    if run.name != run.planned_name:
        where = str(run.config.parent)
        yield Problem(where, f"a run called {run.name!r}", f"{run.planned_name}, as kis sweep plan calls it")
    root = run.sweep.resolve()
    for place in (run.config.parent, run.logs, run.checkpoints):
        if (found := place.resolve()) != root / place.relative_to(run.sweep):
            hint = "A sweep removes files in its folders, so they must be its own: put a real folder there."
            yield Problem(str(place), f"a link to {found}", "a folder inside the sweep's", hint)


def _contradictions(path: Path, found: RunYaml, run: SweepRun) -> Iterator[Problem]:
    """Yield where the keys of a ``run.yaml`` do not fit each other."""
    shape = run.shape
    if shape.width % shape.heads or shape.width // shape.heads % 2:
        yield Problem(f"{path} shape.heads", f"{shape.heads} for a width of {shape.width}", "heads of one even width")
    if shape.heads % shape.key_heads:
        heads = f"{shape.key_heads} for {shape.heads} heads"
        yield Problem(f"{path} shape.key_heads", heads, "a number that divides the heads")
    for key, compute in _COMPUTED.items():
        if (stated := getattr(found, key)) not in (None, compute(run)):
            yield Problem(f"{path} {key}", f"{stated}", f"{compute(run)}, as shape and recipe make it")
