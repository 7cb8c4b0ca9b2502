"""What is asked of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["PredictionRequest"]


@dataclass(frozen=True)
class PredictionRequest:
    """What is asked.

    Attributes:
        params: N of the target.
        tokens: D of the target, or None for the sweep's own rule.
        facts: Facts to be infused there, or None for as many as in the sweep.
        tokens_per_fact: Likewise.
        risk: Greatest probability of collapse to accept.
        confidence: Of the central intervals.
        bootstraps: Resampled data sets a size.
        seed: Of every random choice.
        max_loss_rise: Rise of general loss over the uninfused run that counts as forgetting, nats per token.
        axis: In what amounts compare across sizes: exposures per fact, the share of D, or whichever the held-out sizes
            favour.
        next_runs: How many further runs to name.
        new_sizes: Whether they may be of sizes that the sweep does not have.
        per_flop: Whether they are chosen by what they tell for their cost, rather than by what they tell.
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
