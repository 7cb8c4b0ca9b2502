"""From what a run infuses to the plan of its rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kis_plugin.config.options import chosen
from kis_plugin.config.schema import AMOUNTS
from kis_plugin.errors import KISError, Problem
from kis_plugin.infusion.inputs import InfusionInputs
from kis_plugin.infusion.plan import InfusionPlan

__all__ = ["plan_infusion"]


def plan_infusion(
    inputs: InfusionInputs,
    rows: int,
    known_facts: npt.NDArray[np.bool_] | None = None,
    tokens: int | None = None,
) -> InfusionPlan:
    """Plan the infusion into a run of ``rows`` rows.

    Args:
        inputs: What is infused, loaded.
        rows: Over all ranks and epochs.
        tokens: Token budget D; by default that of so many whole rows.
        known_facts: (infused facts,) which facts get the amount for known ones; None if none does.

    Raises:
        KISError: An amount that does not fit the run, or one that is too small to show anything.
    """
    config = inputs.config
    where = config.path or "config"
    plan = InfusionPlan(
        inputs.texts,
        config.infusion,
        chosen("schedules", config.infusion.schedule, f"{where} infusion.schedule"),
        rows,
        inputs.sequence_length,
        config.seed,
        placement=inputs.placement(),
        validity=inputs.validity(),
        known=None if known_facts is None else inputs.known_texts(known_facts),
        cache=inputs.split.cache,
        identity=inputs.identity(known_facts),
        tokens=tokens,
    )
    if len(plan) and not plan.infused_rows and not (known_facts is not None and known_facts.all()):
        for key in AMOUNTS:
            if amount := getattr(config.infusion, key):
                found = f"{amount}, too little to show anything in a run of {rows * inputs.sequence_length:,} tokens"
                expected = "enough for one sentence, or 0 to infuse nothing"
                raise KISError(Problem(f"{where} infusion.{key}", found, expected))
    return plan
