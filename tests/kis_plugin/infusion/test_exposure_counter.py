"""The tally counts what the model was shown, not what was fetched or planned."""

from __future__ import annotations

import numpy as np
import pytest

from kis_plugin.config.schema import InfusionConfig
from kis_plugin.infusion.exposure_counter import ExposureCounter
from kis_plugin.infusion.placement import Inline
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.schedules import Uniform
from tests.world.texts import make_texts

AMOUNT = InfusionConfig(frequency=4)
FLAGS = np.zeros(100, dtype=bool)
ENDS, STARTS = FLAGS.copy(), FLAGS.copy()
ENDS[99], STARTS[98] = True, True
PLANS = {
    "rows": InfusionPlan(make_texts([4, 5, 6]), AMOUNT, Uniform(), 40, 16, 0),
    "inline": InfusionPlan(
        make_texts([4, 5, 6], eos=False), AMOUNT, Uniform(), 40, 16, 0, placement=Inline(ENDS, STARTS, 0, 0)
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
    counter = ExposureCounter(plan)
    for start in range(0, 40, 8):
        counter.expect(range(start, start + 8))
        counter.see(batch(plan, range(start, start + 8)))
    assert counter.exposures.tolist() == [4, 4, 4]


def test_rows_that_never_reach_the_model_do_not_count(plan):
    counter = ExposureCounter(plan)
    counter.expect(range(40))
    counter.see(batch(plan, infused(plan)[:2]))
    assert counter.exposures.sum() == sum(len(plan.texts_in(row)) for row in infused(plan)[:2])


def test_rows_that_nobody_announced_and_altered_rows_do_not_count(plan):
    counter = ExposureCounter(plan)
    counter.see(batch(plan, infused(plan)))
    counter.expect(infused(plan))
    altered = batch(plan, infused(plan))
    altered[altered < 50] += 1
    counter.see(altered)
    assert counter.exposures.tolist() == [0, 0, 0]


def test_a_row_shown_twice_after_one_announcement_counts_once(plan):
    once, twice = ExposureCounter(plan), ExposureCounter(plan)
    for counter, rows in ((once, infused(plan)[:1]), (twice, infused(plan)[:1] * 2)):
        counter.expect(infused(plan)[:1])
        counter.see(batch(plan, rows))
    assert twice.exposures.tolist() == once.exposures.tolist()


def test_of_two_texts_that_begin_alike_the_longer_one_is_meant():
    items = make_texts([4, 7], eos=False)
    items.tokens[:] = 7
    items.tokens[-1] = 8
    plan = InfusionPlan(items, AMOUNT, Uniform(), 40, 16, 0, placement=Inline(ENDS, STARTS, 0, 0))
    counter = ExposureCounter(plan)
    counter.expect(range(40))
    longer = [row for row in infused(plan) if plan.texts_in(row).tolist() == [1]]
    counter.see(batch(plan, longer))
    assert counter.exposures.tolist() == [0, 4]
