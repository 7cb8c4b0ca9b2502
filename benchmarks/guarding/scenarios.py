"""The runs: what each is infused with, how, and from which model it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["SCENARIOS", "Scenario"]


@dataclass(frozen=True)
class Scenario:
    """Runs that differ by their seed alone.

    Attributes:
        name: What tables call it.
        infusion: That key of the configuration.
        shape: Layers and width.
        start: The scenario from whose finished model it starts; None for a new model.
        rate: Learning rate, as a multiple of ``LEARNING_RATE`` over the width.
        schedule: Of the learning rate, as the Trainer calls it.
        turned: The held-out sentences are infused, and those that are infused elsewhere are held out.
        steps: Of a run; None for as many as the command says.
    """

    name: str
    infusion: Mapping[str, Any] = field(default_factory=dict, hash=False)
    shape: tuple[int, int] = (3, 80)
    start: str | None = None
    rate: float = 1.0
    schedule: str = "cosine"
    turned: bool = False
    steps: int | None = None


TAUGHT, WIDENED = "taught", "widened"
TEACHERS = 3
"""Models that others start from; more seeds share them."""

_CONSTANT = {"schedule": "constant_with_warmup"}

SCENARIOS: Mapping[str, Scenario] = {
    one.name: one
    for one in (
        Scenario(TAUGHT, {"share": 0.65}, steps=700, **_CONSTANT),
        Scenario(WIDENED, {"share": 0.65}, start=TAUGHT, turned=True, steps=250),
        Scenario("uninfused, small", {"frequency": 0}, shape=(2, 32)),
        Scenario("share 0.2", {"share": 0.2}, start=TAUGHT),
        Scenario("share 0.65", {"share": 0.65}, start=TAUGHT, **_CONSTANT),
        Scenario("share 0.65, one", {"share": 0.65, "template_order": "first"}, start=TAUGHT),
        Scenario("share 0.94, one", {"share": 0.94, "template_order": "first"}, start=TAUGHT, **_CONSTANT),
        Scenario("triple rate", {"share": 0.94, "template_order": "first"}, start=TAUGHT, rate=3.0, **_CONSTANT),
        Scenario("narrowed", {"share": 0.65, "template_order": "first"}, start=WIDENED, **_CONSTANT),
        Scenario("narrowed, triple rate", {"share": 0.65, "template_order": "first"}, start=WIDENED, rate=3.0),
        Scenario("infusion ends", {"share": 0.4, "window": [0.0, 0.5]}, start=TAUGHT, **_CONSTANT),
    )
}
