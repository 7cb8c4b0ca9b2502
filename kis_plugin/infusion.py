"""The sampler as a plugin: plans the exposures of one run, hands out its rows, counts what was shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.config import AMOUNTS, Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.hookspecs import hookimpl
from kis_plugin.items import build_items
from kis_plugin.logfile import saved_exposures
from kis_plugin.material import load_material
from kis_plugin.plan import InfusionPlan
from kis_plugin.plugins import find
from kis_plugin.run import TrainingRun
from kis_plugin.seeded import IntArray
from kis_plugin.sentences import TextTokenizer
from kis_plugin.tally import Tally

__all__ = ["Infusion", "plan_items"]


def plan_items(config: Config, tokenizer: TextTokenizer, rows: int, block: int) -> InfusionPlan:
    """Read the knowledge and plan its infusion into a run of ``rows`` rows of ``block`` tokens.

    Raises:
        KISError: Bad knowledge or templates, a sentence longer than a row, an amount that does not fit.
    """
    material = load_material(config)
    facts, book = material.facts, material.book
    relations = {fact.relation for fact in facts} if config.infusion.templates == "rotate" else set()
    variants = max((len(book.of(relation).trained) for relation in relations), default=1)
    items = [build_items(facts, material.passages, book, tokenizer, block, variant) for variant in range(variants)]
    schedule = find("schedules", config.infusion.schedule, f"{config.path or 'config'} infusion.schedule")
    plan = InfusionPlan(items, config.infusion, schedule, rows, block, config.seed)
    if len(plan) and not plan.slots:
        for key in AMOUNTS:
            if asked := getattr(config.infusion, key):
                found = f"{asked}, too little to show anything in a run of {rows * block:,} tokens"
                expected = "enough for one sentence, or 0 to infuse nothing"
                raise KISError(Problem(f"{config.path or 'config'} infusion.{key}", found, expected))
    return plan


class Infusion:
    """One run's infusion."""

    def __init__(self, run: TrainingRun) -> None:
        self.plan = plan_items(run.config, run.tokenizer, run.rows, run.block)
        self.tally = Tally(self.plan)

    @hookimpl
    def kis_run_start(self, run: TrainingRun, resumed: Mapping[str, Any] | None) -> None:
        """Refuse to go on from a checkpoint whose plan was another one."""
        if resumed is None:
            return
        before, now = resumed["plan"], self.plan.fingerprint()
        problems = [
            Problem(f"resume at step {run.start_step}: {key}", f"{now[key]}", f"{before.get(key)} as in the checkpoint")
            for key in now
            if now[key] != before.get(key)
        ]
        if problems:
            raise KISError(problems)

    @hookimpl
    def kis_run_record(self, run: TrainingRun) -> Mapping[str, Any]:
        """Say what is infused."""
        infused = self.plan.infused_tokens
        return {
            "frequency": self.plan.frequency,
            "facts": self.plan.facts,
            "tokens_per_fact": self.plan.tokens_per_round / max(self.plan.facts, 1),
            "training_templates": len(self.plan.variants),
            "infused_tokens": infused,
            "infused_rows": self.plan.slots,
            "share": infused / run.tokens,
            "schedule_hash": self.plan.schedule_hash,
        }

    @hookimpl
    def kis_infuser(self) -> InfusionPlan:
        """Hand out the plan: its ``head`` is what a row begins with."""
        return self.plan

    @hookimpl
    def kis_rows_drawn(self, rows: Sequence[int]) -> None:
        """Expect the infused ones among ``rows``."""
        self.tally.expect(rows)

    @hookimpl
    def kis_batch(self, input_ids: npt.NDArray[np.int64]) -> None:
        """Count the infused rows of a batch."""
        self.tally.see(input_ids)

    @hookimpl
    def kis_exposures(self) -> IntArray:
        """Exposures per item on this rank."""
        return self.tally.exposures

    @hookimpl
    def kis_state(self) -> Mapping[str, Any]:
        """Keep the fingerprint for a resume."""
        return {"plan": dict(self.plan.fingerprint())}

    @hookimpl
    def kis_run_end(self, run: TrainingRun, status: str, exposures: IntArray) -> None:
        """Say so if a whole run did not show what was planned: something between loader and model changed the rows."""
        counted = not run.start_step or saved_exposures(run) is not None
        planned = self.plan.exposures.counts(len(self.plan))
        if run.rank == 0 and status == "completed" and counted and not np.array_equal(exposures, planned):
            wrong = np.flatnonzero(exposures != planned)
            run.narrate(
                f"kis: warning: {len(wrong)} of {len(planned)} sentences did not reach the model as often as planned: "
                f"{exposures.min()} to {exposures.max()} times in place of {planned.min()} to {planned.max()}. Rows "
                "are counted as the model's input_ids; a collator or a loss of your own that changes them is the "
                "first thing to look at. Do not predict from this run."
            )
