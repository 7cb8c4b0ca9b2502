"""The tally counts what the model was shown, not what was fetched or planned."""

from __future__ import annotations

import numpy as np
from test_plan import make_items

from kis_plugin.config import InfusionConfig
from kis_plugin.plan import InfusionPlan
from kis_plugin.schedules import Uniform
from kis_plugin.tally import Tally

PLAN = InfusionPlan([make_items([4, 5, 6])], InfusionConfig(frequency=4), Uniform(), 40, 16, 0)
INFUSED = [row for row in range(40) if PLAN.head(row) is not None]


def batch(rows):
    """Rows as a loader makes them: the head, then base tokens."""
    made = np.full((len(rows), 16), 99, dtype=np.int64)
    for at, row in enumerate(rows):
        head = PLAN.head(row)
        if head is not None:
            made[at, : len(head)] = head
    return made


def test_all_rows_of_the_run_add_up_to_the_plan():
    tally = Tally(PLAN)
    for start in range(0, 40, 8):
        tally.expect(range(start, start + 8))
        tally.see(batch(range(start, start + 8)))
    assert tally.exposures.tolist() == [4, 4, 4]


def test_rows_that_never_reach_the_model_do_not_count():
    tally = Tally(PLAN)
    tally.expect(range(40))
    tally.see(batch(INFUSED[:2]))
    assert tally.exposures.sum() == sum(len(PLAN.told_in(row)[0]) for row in INFUSED[:2])


def test_rows_that_nobody_announced_and_altered_rows_do_not_count():
    tally = Tally(PLAN)
    tally.see(batch(INFUSED))
    tally.expect(INFUSED)
    altered = batch(INFUSED)
    altered[:, 2] = 98
    tally.see(altered)
    assert tally.exposures.tolist() == [0, 0, 0]


def test_a_row_shown_twice_after_one_announcement_counts_once():
    tally = Tally(PLAN)
    tally.expect(INFUSED[:1])
    tally.see(batch(INFUSED[:1] * 2))
    once = Tally(PLAN)
    once.expect(INFUSED[:1])
    once.see(batch(INFUSED[:1]))
    assert tally.exposures.tolist() == once.exposures.tolist()
