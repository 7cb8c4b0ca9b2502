"""Rows that are gathered ahead, for the batches of any reader, are those that are made one by one."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.config.schema import InfusionConfig
from kis_plugin.infusion.placement import Inline
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.schedules import Spaced, Uniform
from kis_plugin.infusion.throttle_file import ThrottleFile
from tests.world.texts import make_texts

LENGTHS = [5, 7, 3, 9, 6, 4] * 4
FLAGS = np.ones(200, dtype=bool)
BASE = np.arange(100, 132)  # (T,)
ROWS = 400


def plan_of(targets=False, validity=None, **keys):
    texts = make_texts(LENGTHS, LENGTHS[::-1])
    if targets:
        texts = replace(texts, targets=np.arange(len(texts.tokens)) % 3 > 0)
    return InfusionPlan(
        texts, InfusionConfig(frequency=7), rows=ROWS, sequence_length=32, seed=3, validity=validity, **keys
    )


def read(plan, rows):
    """Return what is placed into the rows of a batch: by place, where anything is."""
    return {place: plan.place(rows[place], BASE) for place in plan.infused_places(rows)}


def assert_same(found, plan, rows):
    alone = {place: plan.place(row, BASE) for place, row in enumerate(rows) if row is not None and plan.infused(row)}
    assert found.keys() == alone.keys()
    for place, one in found.items():
        assert (one.lengths, one.pieces) == (alone[place].lengths, alone[place].pieces)
        assert one.tokens.tolist() == alone[place].tokens.tolist()
        assert one.tokens.dtype == np.int32
        targets = alone[place].targets
        assert (one.targets is None) if targets is None else (one.targets.tolist() == targets.tolist())


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(1, 40),
    readers=st.integers(1, 5),
    reader=st.integers(0, 4),
    order=st.sampled_from(["forward", "backward", "shuffled", "with padding"]),
    kind=st.sampled_from(["plain", "targets", "validity", "inline", "spaced"]),
)
def test_any_reader_gets_the_rows_that_are_made_one_by_one(size, readers, reader, order, kind):
    validity = np.tile([[0.0, 0.6], [0.4, 1.0]], (12, 1)) if kind == "validity" else None
    placement = Inline(FLAGS, FLAGS, 0, 3) if kind == "inline" else None
    schedule = Spaced() if kind == "spaced" else Uniform()
    keys = {"targets": kind == "targets", "validity": validity, "placement": placement, "schedule": schedule}
    plan, other = plan_of(**keys), plan_of(**keys)
    numbers = list(range(ROWS))
    if order == "shuffled":
        numbers = np.random.default_rng(size).permutation(ROWS).tolist()
    batches = [numbers[at : at + size] for at in range(0, ROWS, size)][reader % readers :: readers]
    if order == "backward":
        batches.reverse()
    if order == "with padding":
        batches = [[None, *batch] for batch in batches] + [[None]]
    for batch in batches:
        assert_same(read(plan, batch), other, batch)


def test_a_row_that_is_read_twice_is_the_same_again():
    plan = plan_of(schedule=Uniform())
    rows = list(range(40))
    for _ in range(2):
        assert_same(read(plan, rows), plan_of(schedule=Uniform()), rows)


def test_a_throttle_holds_for_rows_that_were_gathered_before_it_was_added():
    plan = plan_of(schedule=Uniform())
    plan.throttles = ThrottleFile()
    copy = pickle.loads(pickle.dumps(plan))  # as in a worker
    infused = [row for row in range(ROWS) if plan.infused(row)]
    for one in (plan, copy):
        for first in range(0, 80, 8):
            read(one, list(range(first, first + 8)))
    ahead = min(plan._ahead._made)  # gathered, and no batch has it yet
    assert ahead in infused
    assert ahead >= 80
    plan.throttles.add(0.0, lambda row: row, drawn=80)
    for one in (plan, copy):
        assert one.place(ahead, BASE) is None
        assert one.infused_places(list(range(80, ROWS))) == []
        assert one.infused_places(list(range(80))) == [row for row in infused if row < 80]


@pytest.mark.parametrize("readers", [1, 4])
def test_nothing_is_gathered_for_other_readers(readers, monkeypatch):
    plan = plan_of(schedule=Uniform())
    gathered = []
    monkeypatch.setattr(
        plan._ahead, "_gather", lambda numbers: (gathered.append(len(numbers)), plan._gathered(numbers))[1]
    )
    carried = 0
    for first in range(0, ROWS, 4 * readers):
        carried += sum(len(one.lengths) for one in read(plan, list(range(first, first + 4))).values())
    assert 0 < sum(gathered) <= carried + 100  # the last of them may lie behind the run's last batch
    assert len(gathered) < ROWS / 40


def test_a_shuffled_reader_looks_at_its_own_rows_only(monkeypatch):
    plan = plan_of(schedule=Uniform())
    looked = []
    monkeypatch.setattr(plan._layout, "slots_between", lambda *rows: looked.append(rows) or [])
    order = np.random.default_rng(0).permutation(ROWS).tolist()
    found = [row for at in range(0, ROWS, 8) for row in order[at : at + 8] if plan.infused(row)]
    named = [order[at + place] for at in range(0, ROWS, 8) for place in plan.infused_places(order[at : at + 8])]
    assert named == found
    assert not looked
