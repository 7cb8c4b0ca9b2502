"""KIS's own infuser: plans the exposures of one run, hands out its rows, counts what the model was shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.hook_markers import hookimpl
from kis_plugin.infusion.delivery import DeliveryCheck
from kis_plugin.infusion.exposure_counter import ExposureCounter
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.plan_run import plan_run
from kis_plugin.infusion.resume import check_plan, plan_settings
from kis_plugin.infusion.throttle_file import Throttle, ThrottleFile
from kis_plugin.retention.prior_knowledge import decide_known
from kis_plugin.retention.prior_knowledge_file import known_state
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.infuser import Shown
from kis_plugin.tokenized.infusion_split import facts_hash, load_split

__all__ = ["Infusion", "PlannedInfuser"]


class PlannedInfuser:
    """Infuses by a plan that is made before the first step (``kis_plugin.run.infuser.Infuser``).

    Args:
        run: As the host describes it.
        resumed: What ``state()`` gave when the checkpoint was written; None for a run from its beginning.

    Attributes:
        plan: Which texts each row of the run carries.

    Raises:
        KISError: Anything wrong with what is infused; a checkpoint whose plan was another one.
    """

    def __init__(self, run: TrainingRun, resumed: Mapping[str, Any] | None) -> None:
        self._run = run
        self._known = decide_known(run, load_split(run.config), resumed)
        self._inputs, self.plan = plan_run(run, self._known)
        self._counter = ExposureCounter(self.plan)
        self._delivery = DeliveryCheck(self.plan, run.tokenizer, run.ranks)
        self._throttled: list[dict[str, Any]] = list(resumed.get("eased", [])) if resumed else []
        before = [Throttle(entry["row"], entry["keep"]) for entry in self._throttled]
        self._drawn = run.rows_at(run.start_step)
        self.plan.throttles = ThrottleFile(before, max([self._drawn, *(throttle.row for throttle in before)]))
        self._mismatched: list[str] = list(resumed.get("mismatched", [])) if resumed else []
        if resumed is not None:
            found = check_plan(run, resumed, self.plan.fingerprint())
            self._mismatched = sorted({*self._mismatched, *found})

    @property
    def row_source(self) -> InfusionPlan:
        """The plan."""
        return self.plan

    @property
    def infused_facts(self) -> IntArray:
        """Indices of the infused facts, those that the model knew before left out."""
        infused = self._inputs.split.infused
        return infused if self._known is None else infused[~self._known]

    @property
    def items_fingerprint(self) -> str:
        """A hash of the tokenized texts."""
        return self.plan.texts.fingerprint

    def run_record(self) -> Mapping[str, Any]:
        """Describe what is infused."""
        plan, split = self.plan, self._inputs.split
        known = 0 if self._known is None else int(self._known.sum())
        facts = len(split.infused) + len(split.passages_infused) - known
        return {
            "frequency": plan.frequency,
            "facts": facts,
            "tokens_per_fact": plan.tokens_per_round / max(facts, 1),
            "facts_hash": facts_hash(self._run.config, split),
            "training_templates": plan.texts.templates,
            "infused_tokens": plan.infused_tokens,
            "infused_rows": plan.infused_rows,
            "share": plan.infused_tokens / self._run.tokens,
            "schedule": str(self._run.config.infusion.schedule),
            "placement": plan.placement.name,
            **({} if self._run.config.begin == "eos" else {"begin": self._run.config.begin}),
            "schedule_hash": plan.schedule_hash,
            **({} if self._known is None else {"known_facts": known}),
            **self._room_record(),
        }

    def _room_record(self) -> Mapping[str, Any]:
        """Describe rows of different lengths: how many of them can take what is infused, and how much that is."""
        lengths, room = self._run.row_lengths, self.plan.sequence_length
        if lengths is None:
            return {}
        return {"row_tokens": round(lengths.mean, 2), "row_room": room, "rows_with_room": lengths.part(room)}

    def rows_drawn(self, rows: Sequence[int], carried: Sequence[int] | None = None) -> None:
        """Expect what ``rows`` carry in the batches to come."""
        self._drawn = max(self._drawn, max(rows, default=-1) + 1)
        carried = rows if carried is None else carried
        self._counter.expect(carried)
        if not self._delivery.done:
            self._delivery.fetched(carried)

    def batch(self, input_ids: npt.NDArray[np.int64], labels: npt.NDArray[np.int64] | None = None) -> None:
        """Count the infused texts of a batch, (rows, T)."""
        matches = self._counter.see(input_ids)
        if not self._delivery.done:
            self._delivery.seen(input_ids, labels, matches)

    @property
    def checks_delivery(self) -> bool:
        """Whether the first infused rows are still compared with those planned."""
        return not self._delivery.done

    def step_end(self, step: int) -> None:
        """Stop the run if its first infused rows did not reach the model as planned. Every rank must call it."""
        if step and not self._delivery.done:
            self._delivery.decide()

    def exposures(self) -> IntArray:
        """Return this rank's exposures per item, (items,)."""
        return self._counter.exposures

    def shown(self, exposures: IntArray) -> Shown:
        """Sum exposures by fact. Tokens are the plan's, in proportion to the exposures so far."""
        knowledge = self._inputs.split.knowledge
        of_entries = np.zeros(len(knowledge), dtype=np.int64)
        np.add.at(of_entries, self.plan.texts.entry, exposures)
        part = exposures.sum() / max(self.plan.counts.sum(), 1)
        return Shown(of_entries[: len(knowledge.facts)], round(float(part) * self.plan.infused_tokens))

    def throttle(self, step: int, keep: float) -> None:
        """Infuse less from the first row on that no rank has drawn. Every rank must call it."""
        assert self.plan.throttles is not None
        run = self._run
        row = min(self.plan.throttles.add(keep, run.ranks.greatest, self._drawn), run.rows)
        self._throttled.append({"step": step, "row": row, "keep": keep})
        if run.rank == 0:
            infused = f"{keep:g} of the remaining exposures is infused" if keep else "nothing is infused"
            run.notify(f"kis: from row {row:,} of {run.rows:,} on {infused}.")

    def state(self) -> Mapping[str, Any]:
        """Return the plan's fingerprint and the throttles, for a resume."""
        return {
            "plan": dict(self.plan.fingerprint()),
            "settings": plan_settings(self._run.config),
            "schedule_hash": self.plan.schedule_hash,
            "eased": self._throttled,
            **({"mismatched": self._mismatched} if self._mismatched else {}),
            **({} if self._known is None else known_state(self._known)),
        }

    def end_record(self, status: str, exposures: IntArray, complete: bool) -> Mapping[str, Any]:
        """Report the exposures that the model was given beside those requested; warn if a whole run missed some."""
        requested, due = self.plan.counts, self.plan.throttled_counts
        infused = np.flatnonzero(requested) if requested.any() else np.arange(len(requested))
        record: dict[str, Any] = {
            "achieved_frequency": _summary(exposures[infused]),
            "requested_frequency": _summary(requested[infused]),
        }
        if self._mismatched:
            record["mismatched"] = self._mismatched
        if not np.array_equal(due, requested):
            record |= {"throttled": self._throttled, "throttled_frequency": _summary(due[infused])}
        if status == "completed" and complete:
            record["miscounted"] = int((exposures != due).sum())
            if record["miscounted"] and self._run.rank == 0:
                self._run.notify(_miscount_warning(record["miscounted"], exposures, due))
        return record


class Infusion:
    """KIS's own infusion as a plugin of a run: answers ``kis_infuser`` unless another plugin does."""

    def __init__(self, run: TrainingRun) -> None:
        """Take part in ``run``; what is infused is read when it is needed."""

    @hookimpl
    def kis_infuser(self, run: TrainingRun, resumed: Mapping[str, Any] | None) -> PlannedInfuser:
        """Plan the run."""
        return PlannedInfuser(run, resumed)


def _miscount_warning(wrong: int, exposures: IntArray, due: IntArray) -> str:
    return (
        f"kis: warning: {wrong} of {len(due)} sentences did not reach the model as often as planned: "
        f"{exposures.min()} to {exposures.max()} times in place of {due.min()} to {due.max()}. Rows are counted as the "
        "model's input_ids in training mode. Common causes: data or steps other than announced when the run began, "
        "rows too short for a whole sentence, rows that were changed after KIS made them. Do not predict from this run."
    )


def _summary(counts: IntArray) -> dict[str, float]:
    if not len(counts):
        return {"min": 0.0, "max": 0.0, "mean": 0.0}
    return {"min": float(counts.min()), "max": float(counts.max()), "mean": float(counts.mean())}
