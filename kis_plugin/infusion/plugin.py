"""The sampler as a plugin: plans the exposures of one run, hands out its rows, counts what was shown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.config.options import chosen
from kis_plugin.config.schema import AMOUNTS, Config
from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.hook_markers import hookimpl
from kis_plugin.infusion.exposure_counter import ExposureCounter
from kis_plugin.infusion.placement import Inline, InRows, Placement
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.throttle import Throttle, Throttles
from kis_plugin.retention.prior_knowledge import decide_known, known_state
from kis_plugin.run.context import Shown, TrainingRun
from kis_plugin.run.log_plugin import saved_exposures
from kis_plugin.tokenized.infusion_split import InfusionSplit, load_split
from kis_plugin.tokenized.texts import TokenizedTexts, load_texts
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["Infusion", "plan_items"]


def plan_items(
    config: Config,
    tokenizer: TextTokenizer,
    rows: int,
    sequence_length: int,
    known: npt.NDArray[np.bool_] | None = None,
) -> InfusionPlan:
    """Read the knowledge and plan its infusion into a run of ``rows`` rows of ``sequence_length`` tokens.

    Args:
        config: What is infused.
        tokenizer: The run's.
        rows: Over all ranks and epochs.
        sequence_length: Tokens a row.
        known: (facts told,) which facts get the amount for known ones.

    Raises:
        KISError: Bad knowledge or templates, a sentence longer than a row, an amount that does not fit.
    """
    material = load_split(config)
    infusion = config.infusion
    items = load_texts(config, material, tokenizer, sequence_length)
    plan = InfusionPlan(
        items,
        infusion,
        chosen("schedules", infusion.schedule, f"{config.path or 'config'} infusion.schedule"),
        rows,
        sequence_length,
        config.seed,
        placement=_placement(config, tokenizer),
        holds=_holds(material, items),
        known=None if known is None else _of_items(known, material, items),
        cache=material.cache,
        identity=_identity(config, material, tokenizer, known),
    )
    if len(plan) and not plan.slots and not (known is not None and known.all()):
        for key in AMOUNTS:
            if asked := getattr(infusion, key):
                found = f"{asked}, too little to show anything in a run of {rows * sequence_length:,} tokens"
                expected = "enough for one sentence, or 0 to infuse nothing"
                raise KISError(Problem(f"{config.path or 'config'} infusion.{key}", found, expected))
    return plan


class Infusion:
    """One run's infusion."""

    plan: InfusionPlan
    counter: ExposureCounter

    def __init__(self, run: TrainingRun) -> None:
        self._material = load_split(run.config)
        self._known: npt.NDArray[np.bool_] | None = None
        self._throttled: list[dict[str, Any]] = []
        self._drawn = 0

    @hookimpl
    def kis_run_start(self, run: TrainingRun, resumed: Mapping[str, Any] | None) -> None:
        """Plan the run; refuse to go on from a checkpoint whose plan was another one."""
        self._known = decide_known(run, self._material, resumed)
        self.plan = plan_items(run.config, run.tokenizer, run.rows, run.sequence_length, self._known)
        self.counter = ExposureCounter(self.plan)
        self._throttled = list(resumed.get("eased", [])) if resumed else []
        before = [Throttle(one["row"], one["keep"]) for one in self._throttled]
        self._drawn = run.rows * run.start_step // max(run.steps, 1)
        self.plan.throttles = Throttles(before, max([self._drawn, *(throttle.row for throttle in before)]))
        if resumed is None:
            return
        before, now = resumed["plan"], self.plan.fingerprint()
        other = [key for key in {**now, **before} if now.get(key) != before.get(key)]
        problems = [
            Problem(
                f"resume at step {run.start_step}: {key}",
                f"{now.get(key)}",
                f"{before.get(key)} as in the checkpoint",
                _HINT if key == other[-1] else "",
            )
            for key in other
        ]
        if problems and run.config.on_mismatch == "error":
            raise KISError(problems)
        if problems and run.rank == 0:
            lines = "\n".join(f"  {problem}" for problem in problems)
            run.narrate(
                "kis: warning: on_mismatch is warn, and this run goes on with another plan than it began with:\n"
                f"{lines}\nFacts are shown as this plan says from row {run.rows * run.start_step // run.steps:,} on; "
                "what the whole run shows is no longer the frequency asked for. Do not predict from it."
            )

    @hookimpl
    def kis_run_record(self, run: TrainingRun) -> Mapping[str, Any]:
        """Say what is infused."""
        plan = self.plan
        infused = plan.infused_tokens
        known = 0 if self._known is None else int(self._known.sum())
        told = len(self._material.infused) + len(self._material.passages_infused) - known
        return {
            "frequency": plan.frequency,
            "facts": told,
            "tokens_per_fact": plan.tokens_per_round / max(told, 1),
            "training_templates": plan.items.wordings,
            "infused_tokens": infused,
            "infused_rows": plan.slots,
            "share": infused / run.tokens,
            "schedule": str(run.config.infusion.schedule),
            "placement": plan.placement.name,
            "schedule_hash": plan.schedule_hash,
            **({} if self._known is None else {"known_facts": known}),
        }

    @hookimpl
    def kis_infuser(self) -> InfusionPlan:
        """Hand out the plan: it says what each row is made of."""
        return self.plan

    @hookimpl
    def kis_told(self) -> IntArray:
        """Say which facts are told, the known ones left out."""
        told = self._material.infused
        return told if self._known is None else told[~self._known]

    @hookimpl
    def kis_rows_drawn(self, rows: Sequence[int]) -> None:
        """Expect the infused ones among ``rows``."""
        self._drawn = max(self._drawn, max(rows, default=-1) + 1)
        self.counter.expect(rows)

    @hookimpl
    def kis_ease(self, run: TrainingRun, step: int, keep: float) -> None:
        """Tell less from the first row on that no rank has drawn."""
        assert self.plan.throttles is not None
        row = min(self.plan.throttles.add(keep, run.ranks.greatest, self._drawn), run.rows)
        self._throttled.append({"step": step, "row": row, "keep": keep})
        if run.rank == 0:
            told = f"{keep:g} of what was left is infused" if keep else "nothing is infused"
            run.narrate(f"kis: from row {row:,} of {run.rows:,} on {told}.")

    @hookimpl
    def kis_batch(self, input_ids: npt.NDArray[np.int64]) -> None:
        """Count the infused texts of a batch."""
        self.counter.see(input_ids)

    @hookimpl
    def kis_exposures(self) -> IntArray:
        """Exposures per item on this rank."""
        return self.counter.exposures

    @hookimpl
    def kis_shown(self, exposures: IntArray) -> Shown:
        """Say how often each fact was told so far. Tokens are those of the plan, in the part of it that was shown."""
        of_entries = np.zeros(len(self._material.knowledge), dtype=np.int64)
        np.add.at(of_entries, self.plan.items.entry, exposures)
        part = exposures.sum() / max(self.plan.counts.sum(), 1)
        return Shown(of_entries[: len(self._material.knowledge.facts)], round(float(part) * self.plan.infused_tokens))

    @hookimpl
    def kis_state(self) -> Mapping[str, Any]:
        """Keep the fingerprint for a resume."""
        known = {} if self._known is None else known_state(self._known)
        return {
            "plan": dict(self.plan.fingerprint()),
            "schedule_hash": self.plan.schedule_hash,
            "eased": self._throttled,
            **known,
        }

    @hookimpl
    def kis_end_record(self, run: TrainingRun, status: str, exposures: IntArray) -> Mapping[str, Any]:
        """Report exposures achieved, as counted from what the model was given, beside those asked for."""
        asked, due = self.plan.counts, self.plan.throttled_counts
        told = np.flatnonzero(asked) if asked.any() else np.arange(len(asked))
        whole = status == "completed" and self._all_counted(run)
        return {
            "achieved_frequency": _summary(exposures[told]),
            "requested_frequency": _summary(asked[told]),
            **(
                {} if np.array_equal(due, asked) else {"eased": self._throttled, "eased_frequency": _summary(due[told])}
            ),
            **({"miscounted": int((exposures != due).sum())} if whole else {}),
        }

    def _all_counted(self, run: TrainingRun) -> bool:
        """Return whether the counts are of the whole run: those before a resume may be lost, or of other items."""
        before = saved_exposures(run) if run.start_step else None
        return not run.start_step or (before is not None and len(before) == len(self.plan))

    @hookimpl
    def kis_run_end(self, run: TrainingRun, status: str, exposures: IntArray) -> None:
        """Say so if a whole run did not show what was planned: something between loader and model changed the rows."""
        counted = self._all_counted(run)
        planned = self.plan.throttled_counts
        if run.rank == 0 and status == "completed" and counted and not np.array_equal(exposures, planned):
            wrong = np.flatnonzero(exposures != planned)
            run.narrate(
                f"kis: warning: {len(wrong)} of {len(planned)} sentences did not reach the model as often as planned: "
                f"{exposures.min()} to {exposures.max()} times in place of {planned.min()} to {planned.max()}. Rows "
                "are counted as the model's input_ids; a collator or a loss of your own that changes them is the "
                "first thing to look at. Do not predict from this run."
            )


_HINT = "Give the run what it began with; on_mismatch: warn goes on all the same, with other counts."


def _placement(config: Config, tokenizer: TextTokenizer) -> Placement:
    if config.infusion.placement == "rows":
        return InRows()
    ends, starts = tokenizer.breaks()
    return Inline(ends, starts, tokenizer.eos, config.seed)


def _of_items(of_facts: npt.NDArray[np.bool_], material: InfusionSplit, items: TokenizedTexts) -> npt.NDArray[np.bool_]:
    """Return (items,) from what holds of each told fact, (facts told,); False for pieces of passages."""
    flags = np.zeros(len(material.knowledge), dtype=np.bool_)
    flags[material.infused] = of_facts
    of_items: npt.NDArray[np.bool_] = flags[items.entry]
    return of_items


def _holds(material: InfusionSplit, items: TokenizedTexts) -> npt.NDArray[np.float64] | None:
    """Return from when until when each item holds, (items, 2), or None if all do all the time."""
    if material.changing is None:
        return None
    of_entries = np.zeros((len(material.knowledge), 2))
    of_entries[:, 1] = 1.0
    facts = len(material.knowledge.facts)
    of_entries[:facts, 0], of_entries[:facts, 1] = material.changing
    of_items: npt.NDArray[np.float64] = of_entries[items.entry]
    return of_items


def _identity(
    config: Config, material: InfusionSplit, tokenizer: TextTokenizer, known: npt.NDArray[np.bool_] | None
) -> dict[str, Any]:
    """Return by name what a run's counts hang on beside the amounts, so that a mismatch can be named."""
    told = hashlib.sha256(np.ascontiguousarray(material.infused).data)
    told.update(np.ascontiguousarray(material.passages_infused).data)
    return {
        "knowledge": material.fingerprint,
        "told": told.hexdigest()[:16],
        "sentences": material.book.fingerprint(material.relations)[:16],
        "tokenizer": tokenizer.fingerprint,
        "rendering": str(config.infusion.rendering),
        "loss": config.infusion.loss,
        "attention": config.infusion.attention,
        "known": "" if known is None else hashlib.sha256(known.tobytes()).hexdigest()[:16],
    }


def _summary(counts: IntArray) -> dict[str, float]:
    if not len(counts):
        return {"min": 0.0, "max": 0.0, "mean": 0.0}
    return {"min": float(counts.min()), "max": float(counts.max()), "mean": float(counts.mean())}
