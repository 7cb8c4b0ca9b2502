"""What a torch optimizer and a dataset say of how a run is trained, for the first record of its log."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kis_plugin.run.log import TrainingRecipe

__all__ = ["optimizer_recipe", "repeats", "unwrapped", "with_warmup"]


def optimizer_recipe(optimizer: Any, recipe: TrainingRecipe) -> TrainingRecipe:
    """Return ``recipe`` with what an optimizer says of itself: its class, peak learning rate, weight decay and betas.

    Groups of parameters may differ, as where norms have no weight decay: the greatest value counts.

    Args:
        optimizer: A ``torch.optim.Optimizer``, or one that accelerate, Fabric or DeepSpeed has wrapped; None for none.
        recipe: What is known of the rest.
    """
    optimizer = unwrapped(optimizer)
    groups = getattr(optimizer, "param_groups", None)
    if not groups:
        return recipe
    # A scheduler has multiplied ``lr`` by its first factor; it keeps the peak in ``initial_lr``.
    rate = _greatest(group.get("initial_lr", group.get("lr")) for group in groups)
    betas = [_greatest(_nth(group.get("betas"), at) for group in groups) for at in (0, 1)]
    decay = _greatest(group.get("weight_decay") for group in groups)
    return replace(
        recipe, optimizer=type(optimizer).__name__, learning_rate=rate, weight_decay=decay, beta1=betas[0],
        beta2=betas[1],
    )  # fmt: skip


def repeats(rows: int, dataset: Any, read: int | None = None) -> float | None:
    """Return how often a run reads a row of its data; None where that has no length.

    Args:
        rows: Rows that the run trains on.
        dataset: The data. One whose ``len`` counts rows more than once says in ``distinct_rows`` how many there are.
        read: Rows of one pass, where not all are read.
    """
    held = getattr(dataset, "distinct_rows", None)
    if held is None:
        try:
            held = read or len(dataset)
        except (TypeError, NotImplementedError):  # a stream, or a wrapper around one
            return None
    return rows / held if held else None


def with_warmup(recipe: TrainingRecipe, warmup: int, steps: int) -> TrainingRecipe:
    """Return ``recipe`` with a warm-up of so many of all steps; the part that these are has three digits."""
    return replace(recipe, warmup_steps=warmup, warmup=float(f"{warmup / max(steps, 1):.3g}"))


def unwrapped(outer: Any) -> Any:
    """Return the optimizer or scheduler inside those that accelerate, Fabric and DeepSpeed put around it."""
    for name in ("optimizer", "scheduler"):
        while outer is not None and type(outer).__module__.split(".")[0] in _WRAPPERS and hasattr(outer, name):
            outer = getattr(outer, name)
    return outer


_WRAPPERS = ("accelerate", "lightning", "lightning_fabric", "deepspeed")


def _greatest(values: Iterable[Any]) -> float | None:
    found = [float(value) for value in values if _is_number(value)]
    return max(found, default=None)


def _is_number(value: Any) -> bool:
    try:
        return value is not None and math.isfinite(float(value))  # a learning rate may be a tensor
    except (TypeError, ValueError):
        return False


def _nth(values: Any, at: int) -> Any:
    return values[at] if isinstance(values, (tuple, list)) and len(values) > at else None
