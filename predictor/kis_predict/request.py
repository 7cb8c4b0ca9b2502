"""What a prediction is requested for: the large model, and how sure and how thorough the answer is to be."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from kis_plugin.errors import KISError, Problem

__all__ = ["PredictionRequest"]

_AXES = ("auto", "frequency", "share")
_RANGES: dict[str, tuple[float, float]] = {
    "params": (1, 1e18),
    "tokens": (1, 1e18),
    "facts": (1, 1e18),
    "bootstraps": (50, 10_000),
    "seed": (0, 2**32 - 1),
    "next_runs": (0, 100),
}
"""Whole numbers, with the ends of their ranges."""
_OPEN = {"tokens_per_fact": (0.0, 1e9), "risk": (0.0, 1.0), "confidence": (0.0, 1.0), "max_loss_rise": (0.0, 100.0)}
"""Numbers strictly between two limits."""


@dataclass(frozen=True)
class PredictionRequest:
    """The target and the options of a prediction.

    Attributes:
        params: N of the target.
        tokens: D of the target, or None for the sweep's own rule.
        facts: Facts to be infused there, or None for as many as in the sweep.
        tokens_per_fact: Tokens of one exposure there, or None for those of the sweep.
        risk: Greatest probability of collapse to accept.
        confidence: Of the central intervals.
        bootstraps: Resampled data sets for each size.
        seed: Of every random choice.
        max_loss_rise: Rise of general loss over the uninfused run that counts as forgetting, nats per token.
        axis: The amount that compares across sizes: exposures per fact, the share of D, or the one that predicts
            held-out sizes better.
        next_runs: How many further runs to propose.
        new_sizes: Whether these may be of sizes that the sweep does not have.
        per_flop: Whether these are chosen by information for their cost, rather than by information alone.
        sensitivity: Whether to repeat the answer with each constant of the method halved and doubled.
        far: Whether to answer for targets farther away than the evidence supports.

    Raises:
        KISError: Every value outside its range.
    """

    params: int
    tokens: int | None = None
    facts: int | None = None
    tokens_per_fact: float | None = None
    risk: float = 0.05
    confidence: float = 0.9
    bootstraps: int = 1000
    seed: int = 0
    max_loss_rise: float = 0.05
    axis: Literal["auto", "frequency", "share"] = "auto"
    next_runs: int = 0
    new_sizes: bool = True
    per_flop: bool = False
    far: bool = False
    sensitivity: bool = False

    def __post_init__(self) -> None:
        problems = [
            Problem(f"PredictionRequest {name}", repr(value), expected)
            for name in (field.name for field in fields(self))
            if (expected := _expected(name, value := getattr(self, name)))
        ]
        if problems:
            raise KISError(problems)


def _expected(name: str, value: object) -> str:
    """Return what ``value`` should have been; empty where it is in order."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if name == "axis":
        return "" if value in _AXES else f"one of {', '.join(_AXES)}"
    if value is None and name in ("tokens", "facts", "tokens_per_fact"):
        return ""
    if name in _RANGES:
        low, high = _RANGES[name]
        whole = number and isinstance(value, (int, float)) and value == int(value) and low <= value <= high
        return "" if whole else f"a whole number from {low:,g} to {high:,g}"
    if name in _OPEN:
        low, high = _OPEN[name]
        between = number and isinstance(value, (int, float)) and low < value < high
        return "" if between else f"a number between {low:g} and {high:g}"
    return "" if isinstance(value, bool) else "True or False"
