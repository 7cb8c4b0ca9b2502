"""The counter counts what the model was shown, not what was fetched or planned."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.config.schema import InfusionConfig
from kis_plugin.infusion.exposure_counter import ExposureCounter
from kis_plugin.infusion.placement import Inline
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.schedules import Uniform
from kis_plugin.infusion.substring_hashes import HashFilter, SubstringHashes
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


def test_unannounced_and_altered_rows_do_not_count(plan):
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


def long_plan(placement):
    """9,000 rows of which most are infused; all texts begin with the same eight tokens."""
    items = make_texts([12] * 2000, eos=False)
    items.tokens.reshape(-1, 12)[:, :8] = 7
    inline = Inline(ENDS, STARTS, 0, 0) if placement == "inline" else None
    return InfusionPlan(items, InfusionConfig(frequency=4), Uniform(), 9000, 24, 0, placement=inline)


def rows_of_batch(plan, first, size=8):
    base = np.array([99, 98] * 12, dtype=np.int64)
    made = [plan.place(row, base) for row in range(first, first + size)]
    return np.stack([base if placed is None else placed.joined(placed.tokens, base) for placed in made]).astype(
        np.int64
    )


@pytest.mark.parametrize("placement", ["rows", "inline"])
def test_a_batch_costs_the_same_however_many_rows_are_announced(placement):
    plan = long_plan(placement)
    seconds = []
    for ahead in (8, 8000):
        counter, times = ExposureCounter(plan), []
        counter.expect(range(ahead))
        for first in range(0, 400, 8):
            counter.expect(range(first + ahead, first + ahead + 8))
            batch = rows_of_batch(plan, first)
            start = time.perf_counter()
            counter.see(batch)
            times.append(time.perf_counter() - start)
        seconds.append(np.median(times))
        assert counter.exposures.sum() == sum(len(plan.texts_in(row)) for row in range(400) if plan.infused(row))
    assert seconds[1] < 2 * seconds[0]


@pytest.mark.parametrize("placement", ["rows", "inline"])
def test_rows_that_are_fetched_and_never_used_do_not_pile_up(placement):
    plan = long_plan(placement)
    counter, kept = ExposureCounter(plan), []
    for first in range(0, 8000, 8):
        counter.expect(range(first, first + 8))
        if first % 32 == 0:  # three of four batches are fetched in vain
            counter.see(rows_of_batch(plan, first))
        kept.append(len(counter))
    assert max(kept) < 3 * 32  # rows that a loader was ahead of training, three times
    shown = [row for row in range(8000) if row % 32 < 8 and plan.infused(row)]
    assert counter.exposures.sum() == sum(len(plan.texts_in(row)) for row in shown)


@pytest.mark.parametrize("placement", ["rows", "inline"])
def test_batches_of_workers_that_overtake_each_other_count(placement):
    plan, counter = long_plan(placement), ExposureCounter(long_plan(placement))
    for first in range(4000, 8000, 64):  # a resumed run; 8 batches are fetched and come in another order
        counter.expect(range(first, first + 64))
        for batch in np.random.default_rng(first).permutation(8).tolist():
            counter.see(rows_of_batch(plan, first + 8 * batch))
    rows = [row for row in range(4000, 4000 + 63 * 64) if plan.infused(row)]
    assert counter.exposures.sum() == sum(len(plan.texts_in(row)) for row in rows)


@given(
    rows=st.lists(st.lists(st.integers(-100, 5), min_size=1, max_size=9), min_size=1, max_size=3),
    first=st.integers(0, 8),
    length=st.integers(1, 9),
)
def test_equal_substrings_have_equal_hashes_wherever_they_stand(rows, first, length):
    width = max(map(len, rows))
    ids = np.array([row + [0] * (width - len(row)) for row in rows])
    if first + length > width:
        return
    hashes = SubstringHashes(ids).all(length)
    assert SubstringHashes(ids[:, first : first + length]).at_start(length)[:, 0].tolist() == hashes[:, first].tolist()
    assert SubstringHashes(ids).of(0, first, np.array([length])).tolist() == [hashes[0, first]]
    strings = {tuple(ids[row, place : place + length].tolist()) for row, place in np.ndindex(hashes.shape)}
    assert len(set(hashes.ravel().tolist())) == len(strings)


@given(st.sets(st.integers(0, 2**64 - 1), max_size=600), st.integers(0, 2**64 - 1))
def test_a_filter_misses_no_hash_that_it_holds(keys, other):
    held = HashFilter()
    for key in sorted(keys):
        held.add(key)
    assert held.may_hold(np.array(sorted(keys), dtype=np.uint64)).all()
    for key in keys:
        held.remove(key)
    assert not held.may_hold(np.array([*keys, other], dtype=np.uint64)).any()
