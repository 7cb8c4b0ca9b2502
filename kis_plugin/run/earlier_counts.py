"""The exposures that the weights of a run have seen before the run starts, or starts again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kis_plugin.hashing import IntArray
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.exposure_file import exposures_path, read_exposures
from kis_plugin.run.infuser import Infuser

__all__ = ["EarlierCounts", "counts_of_checkpoint", "counts_of_session"]


@dataclass(frozen=True)
class EarlierCounts:
    """What was counted before this start of a run.

    Attributes:
        counts: (items,) over all ranks, on rank 0; None where there are none.
        counted_from: The step from which the run is counted; 0 if from its start.
        starts: How often the run has started, this time included.
        uncounted: Whether the weights have seen infused texts of which there are no counts at all.
    """

    counts: IntArray | None = None
    counted_from: int = 0
    starts: int = 1
    uncounted: bool = False

    def total(self, since: IntArray) -> IntArray:
        """Return exposures in all from those since this start: (items,)."""
        return since if self.counts is None else since + self.counts

    def fields(self) -> dict[str, Any]:
        """Return what the end record says of it."""
        fields: dict[str, Any] = {"starts": self.starts}
        if self.counted_from:
            fields["counted_from_step"] = self.counted_from
        if self.uncounted:
            fields["uncounted"] = True
        return fields


def counts_of_checkpoint(run: TrainingRun, infuser: Infuser, resumed: Mapping[str, Any]) -> EarlierCounts:
    """Return the counts up to the checkpoint that a run goes on from; rank 0 reads them.

    Counts that are gone, damaged or of other texts are not guessed: the run is then counted from this step on, which
    its log says. A file that was itself counted from a later step on keeps that step.
    """
    starts, step = int(resumed.get("starts", 1)) + 1, run.start_step
    if not step or run.rank:
        return EarlierCounts(starts=starts)
    path = exposures_path(run.folder, step)
    saved = read_exposures(path)
    if not isinstance(saved, str):
        mine, other = infuser.items_fingerprint, saved.items
        if len(saved.counts) != len(infuser.exposures()) or (other and other != mine):
            saved = f"it counts other texts ({len(saved.counts):,} of them)"
    if not isinstance(saved, str):
        return EarlierCounts(saved.counts, saved.counted_from, starts)
    run.notify(
        f"kis: warning: the exposures up to step {step} cannot be read from {path}: {saved}. The infusion goes on "
        f"exactly, but exposures are counted from step {step} on only, and the run log says so. Do not predict from "
        "this run."
    )
    return EarlierCounts(counted_from=step, starts=starts)


def counts_of_session(
    counts: IntArray, before: EarlierCounts, items: tuple[str, str], run: TrainingRun
) -> EarlierCounts:
    """Return the counts of a session of this process that trained the same weights, for the one that replaces it.

    A host may start its training anew without loading weights, for instance with a smaller batch after running out of
    memory. What the weights have seen by then belongs to the new run's counts.

    Args:
        counts: (items,) of the earlier session, over all ranks.
        before: What that session itself began with.
        items: What the earlier session counts, and what the new one does.
        run: The new run.
    """
    starts = before.starts + 1
    if not counts.any() and before.counted_from == 0 and not before.uncounted:
        return EarlierCounts(starts=starts)
    if run.rank == 0:
        run.notify(
            "kis: warning: the weights were trained with infused rows before this run starts anew; the exposures of "
            "both are in its log. Do not predict from it."
        )
    if items[0] != items[1]:
        return EarlierCounts(starts=starts, uncounted=True)
    return EarlierCounts(counts, before.counted_from, starts, before.uncounted or before.counted_from > 0)
