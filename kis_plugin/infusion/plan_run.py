"""Plans a whole run; where its base rows differ in length, into those that have room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.infusion.build_plan import plan_infusion
from kis_plugin.infusion.inputs import InfusionInputs, load_inputs
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.row_lengths import RowLengths

__all__ = ["plan_run"]


def plan_run(run: TrainingRun, known: npt.NDArray[np.bool_] | None) -> tuple[InfusionInputs, InfusionPlan]:
    """Plan a run; where rows differ in length, into the rows that have room.

    Raises:
        KISError: No row takes the longest text, or the rows that do are too few.
    """
    lengths = run.row_lengths
    if lengths is None:
        inputs = load_inputs(run.config, run.tokenizer, run.sequence_length)
        return inputs, plan_infusion(inputs, run.rows, known)
    try:
        return _best_room(run, lengths, known)
    except KISError:
        if not (lengths.sample and lengths.uniform):
            raise
    # A few rows of one length are all that is known, and the amount fits if the others have that length too.
    planned = _best_room(run, replace(lengths, sample=False), known)
    if run.rank == 0:
        run.notify(
            f"kis: warning: the {len(lengths.lengths)} rows of the first step have {lengths.longest} tokens, and the "
            "amount takes nearly all rows of the run. If later rows are shorter, exposures will be missing; the end "
            "of the run log would say so."
        )
    return planned


def _best_room(
    run: TrainingRun, lengths: RowLengths, known: npt.NDArray[np.bool_] | None
) -> tuple[InfusionInputs, InfusionPlan]:
    """Plan into rows of different lengths, with the room a row that leaves the most rows free.

    Raises:
        KISError: No row takes the longest text, or the rows that do are too few.
    """
    best: tuple[float, InfusionInputs, InfusionPlan] | None = None
    refused: KISError | None = None
    for room in lengths.rooms:
        try:
            inputs = load_inputs(run.config, run.tokenizer, room)
            plan = _plan_with_room(run, lengths, inputs, known)
        except KISError as error:  # a text is longer than that, or too few rows have so much room
            refused = error
            continue
        used = plan.infused_rows / max(lengths.most(run.rows, room), 1)
        if best is None or used < best[0]:
            best = used, inputs, plan
    if best is None:
        assert refused is not None
        rows = ", ".join(f"{lengths.part(room):.1%} have {room} tokens or more" for room in lengths.rooms)
        found = f"rows of {int(lengths.lengths.min())} to {lengths.longest} tokens: {rows}"
        hint = "Rows that cannot take a whole text keep their base text; pack longer rows."
        raise KISError([*refused.problems, Problem("train_dataset", found, "enough rows with room", hint)])
    return best[1], best[2]


def _plan_with_room(
    run: TrainingRun, lengths: RowLengths, inputs: InfusionInputs, known: npt.NDArray[np.bool_] | None
) -> InfusionPlan:
    """Plan into rows of which some have no room, so that what waits for room finds it before the run ends.

    Raises:
        KISError: Too few rows have room.
    """
    room, free = inputs.sequence_length, 0
    while True:
        plan = plan_infusion(inputs, run.rows - free, known, run.tokens)
        needed = lengths.kept_free(run.rows, plan.infused_rows, room)
        if plan.infused_rows > lengths.most(run.rows, room) or needed >= run.rows:
            found = f"{plan.infused_rows:,} infused rows of up to {room} tokens"
            part = f"{lengths.part(room):.1%} have {room} tokens or more"
            expected = f"at most {lengths.most(run.rows, room):,}: of the run's {run.rows:,} rows, {part}"
            raise KISError(Problem("infusion", found, expected, "Infuse less, train longer, or pack longer rows."))
        if needed <= free:
            return plan
        free = needed
