"""The tally counts what the model was shown, not what was fetched or planned."""

from __future__ import annotations

import numpy as np
import pytest
from made_items import make_items

from kis_plugin.config import InfusionConfig
from kis_plugin.placement import Inline
from kis_plugin.plan import InfusionPlan
from kis_plugin.schedules import Uniform
from kis_plugin.tally import Tally

AMOUNT = InfusionConfig(frequency=4)
FLAGS = np.zeros(100, dtype=bool)
ENDS, STARTS = FLAGS.copy(), FLAGS.copy()
ENDS[99], STARTS[98] = True, True
PLANS = {
    "rows": InfusionPlan(make_items([4, 5, 6]), AMOUNT, Uniform(), 40, 16, 0),
    "inline": InfusionPlan(
        make_items([4, 5, 6], eos=False), AMOUNT, Uniform(), 40, 16, 0, placement=Inline(ENDS, STARTS, 0, 0)
    ),
}


@pytest.fixture(params=PLANS)
def plan(request):
    return PLANS[request.param]


def infused(plan):
    return [row for row in range(40) if plan.infused(row)]


def batch(plan, rows):
    """Rows as a loader makes them."""
    base = np.array([99, 98] * 8, dtype=np.int64)
    made = [base if (placed := plan.place(row, base)) is None else placed.joined(placed.tokens, base) for row in rows]
    return np.stack(made).astype(np.int64)


def test_all_rows_of_the_run_add_up_to_the_plan(plan):
    tally = Tally(plan)
    for start in range(0, 40, 8):
        tally.expect(range(start, start + 8))
        tally.see(batch(plan, range(start, start + 8)))
    assert tally.exposures.tolist() == [4, 4, 4]


def test_rows_that_never_reach_the_model_do_not_count(plan):
    tally = Tally(plan)
    tally.expect(range(40))
    tally.see(batch(plan, infused(plan)[:2]))
    assert tally.exposures.sum() == sum(len(plan.told_in(row)) for row in infused(plan)[:2])


def test_rows_that_nobody_announced_and_altered_rows_do_not_count(plan):
    tally = Tally(plan)
    tally.see(batch(plan, infused(plan)))
    tally.expect(infused(plan))
    altered = batch(plan, infused(plan))
    altered[altered < 50] += 1
    tally.see(altered)
    assert tally.exposures.tolist() == [0, 0, 0]


def test_a_row_shown_twice_after_one_announcement_counts_once(plan):
    once, twice = Tally(plan), Tally(plan)
    for tally, rows in ((once, infused(plan)[:1]), (twice, infused(plan)[:1] * 2)):
        tally.expect(infused(plan)[:1])
        tally.see(batch(plan, rows))
    assert twice.exposures.tolist() == once.exposures.tolist()


def test_of_two_texts_that_begin_alike_the_longer_one_is_meant():
    items = make_items([4, 7], eos=False)
    items.tokens[:] = 7
    items.tokens[-1] = 8
    plan = InfusionPlan(items, AMOUNT, Uniform(), 40, 16, 0, placement=Inline(ENDS, STARTS, 0, 0))
    tally = Tally(plan)
    tally.expect(range(40))
    longer = [row for row in infused(plan) if plan.told_in(row).tolist() == [1]]
    tally.see(batch(plan, longer))
    assert tally.exposures.tolist() == [0, 4]
