"""A throttled run shows, from one row on, the part that was requested: found by reading every row."""

from __future__ import annotations

import multiprocessing
import pickle
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.config.schema import InfusionConfig
from kis_plugin.errors import KISError
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.schedules import Burst, Ramp, Spaced, Uniform
from kis_plugin.infusion.throttle_file import Throttle, ThrottleFile
from kis_plugin.plugins.session import Session
from kis_plugin.run.log import read_run_log
from tests.world.facts import people, write_facts
from tests.world.plain import make_run, train
from tests.world.texts import make_texts


def alone(number):
    return number


def counts(plan, rows):
    """Exposures of each item in some rows, by asking about each row."""
    found = np.zeros(len(plan), dtype=np.int64)
    for row in rows:
        texts = plan.texts_in(row)
        assert plan.infused(row) == (texts is not None)
        for text in [] if texts is None else texts.tolist():
            found[text % len(plan)] += 1
    return found


def plan_of(schedule=None, frequency=8.0, rows=900, validity=None, items=None, **amount):
    items = make_texts([5, 7, 3, 9, 6, 4] * 4) if items is None else items
    config = InfusionConfig(frequency=frequency, **amount)
    return InfusionPlan(items, config, schedule or Uniform(), rows, 16, 3, validity=validity)


@settings(max_examples=120, deadline=None)
@given(
    schedule=st.sampled_from([Uniform(), Ramp(), Burst(), Spaced()]),
    frequency=st.sampled_from([0.5, 1.0, 3.0, 7.5, 12.0]),
    order=st.sampled_from(["cycle", "first", "random"]),
    cuts=st.lists(st.integers(0, 1100), min_size=1, max_size=3),
    keep=st.sampled_from([0.0, 0.1, 0.5, 0.73, 1.0]),
    changing=st.booleans(),
)
def test_what_is_left_is_the_part_requested_within_one_exposure(schedule, frequency, order, cuts, keep, changing):
    lengths = [5, 7, 3, 9, 6, 4] * 4
    items = make_texts(lengths, lengths[::-1])
    validity = np.array([[0.0, 1.0] if n % 3 or not changing else [0.25, 1.0] for n in range(24)])
    plan = plan_of(schedule, frequency, 1000, validity, items, template_order=order)
    whole = counts(plan, range(1000))
    assert whole.tolist() == plan.counts.tolist() == plan.throttled_counts.tolist()
    planned = [None if (texts := plan.texts_in(row)) is None else texts.tolist() for row in range(1000)]
    plan.throttles = ThrottleFile()
    for number, cut in enumerate(sorted(cuts)):
        before, left = counts(plan, range(cut)), counts(plan, range(cut, 1000))
        assert plan.throttles.add(keep, alone, cut) == cut
        assert counts(plan, range(cut)).tolist() == before.tolist()  # what was drawn stays
        now = counts(plan, range(cut, 1000))
        assert np.abs(now - keep * left).max() <= 1 + 1e-9
        if keep in (0, 1):
            assert now.tolist() == (left * int(keep)).tolist()
        assert plan.throttled_counts.tolist() == (before + now).tolist()
        assert plan.counts.tolist() == whole.tolist()
        assert len(plan.throttles) == number + 1
    for row in range(1000):  # nothing is infused that was not planned there
        assert plan.texts_in(row) is None or plan.texts_in(row).tolist() == planned[row]
    copy = pickle.loads(pickle.dumps(plan))
    assert counts(copy, range(1000)).tolist() == plan.throttled_counts.tolist()


def test_templates_go_on_to_take_turns():
    items = make_texts([5] * 20, [6] * 20)
    plan = plan_of(frequency=200, rows=3000, items=items)
    plan.throttles = ThrottleFile([Throttle(300, 0.5)])
    infused_facts = Counter(
        int(text) // 20 for row in range(300, 3000) if (texts := plan.texts_in(row)) is not None for text in texts
    )
    assert 0.3 < infused_facts[0] / sum(infused_facts.values()) < 0.7  # every second round would be one template alone


def test_a_copy_sees_throttles_added_later():
    plan = plan_of()
    plan.throttles = ThrottleFile()
    copy = pickle.loads(pickle.dumps(plan))
    before = counts(copy, range(900))
    copy.drawing(500)
    assert plan.throttles.add(0.0, alone, 300) == 500
    assert counts(copy, range(500)).tolist() == counts(plan_of(), range(500)).tolist()
    assert counts(copy, range(500, 900)).sum() == 0 < before.sum()


def test_all_ranks_are_throttled_from_the_same_row():
    ranks = [ThrottleFile(drawn=drawn) for drawn in (40, 90, 70)]
    assert [one.add(0.5, lambda number: max(number, 90)) for one in ranks] == [90, 90, 90]
    assert [one[0] for one in ranks] == [(90, 0.5)] * 3
    assert ranks[0].add(0.25, alone, 10) == 90  # never before an earlier one


def draw(throttles, start, rows, infused_facts):
    start.wait()
    for row in range(rows):
        throttles.drawing(row + 1)
        infused_facts.put((row, len(throttles)))
    infused_facts.put(None)


def test_a_worker_makes_no_row_that_is_throttled():
    context = multiprocessing.get_context("fork")
    throttles, start, infused_facts = ThrottleFile(), context.Event(), context.Queue()
    worker = context.Process(target=draw, args=(throttles, start, 20_000, infused_facts))
    worker.start()
    start.set()
    seen = [infused_facts.get() for _ in range(50)]
    row = throttles.add(0.0, alone)
    while (item := infused_facts.get()) is not None:
        seen.append(item)
    worker.join()
    assert len(seen) == 20_000
    assert 50 <= row <= 20_000
    assert all(count == 1 for number, count in seen if number >= row)


def test_the_file_is_gone_with_the_run():
    throttles = ThrottleFile()
    path = throttles._path
    copy = pickle.loads(pickle.dumps(throttles))
    del copy
    assert path.exists()
    del throttles
    assert not path.exists()


def test_more_easings_than_there_is_room_for_are_refused():
    throttles = ThrottleFile([Throttle(0, 1.0)] * 255)
    with pytest.raises(KISError, match="at most 255 in one run"):
        throttles.add(0.5, alone)


def infused_facts(shown):
    """How often each person stands in the shown rows."""
    return Counter(name for row in shown for name in re.findall(r"Person\d+", row))


@pytest.mark.parametrize("placement", ["rows", "inline"])
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_what_was_shown_is_counted_and_a_resume_goes_on_throttled(tmp_path, placement, keep):
    write_facts(tmp_path, people(24))
    said: list[str] = []
    whole = make_run(tmp_path, {"frequency": 10, "placement": placement}, notify=said.append)
    session = Session(whole)
    session.step_end(0)
    shown = train(session, stop=120)
    session.rows_drawn(range(120, 124))  # the loader is ahead by a batch
    session.run.session.throttle(keep)
    assert any("from row 124 of 400 on" in line for line in said)
    state = session.state()
    assert state["eased"] == [{"step": 30, "row": 124, "keep": keep}]
    session.save(30)
    rest = train(session, first=120)
    session.end(100)
    end = read_run_log(tmp_path / "runs" / "r" / "kis.jsonl").end
    assert end.status == "completed"
    assert end.extra["miscounted"] == 0
    assert end.extra["throttled"] == state["eased"]
    assert end.extra["requested_frequency"] == {"min": 10, "max": 10, "mean": 10}
    found = sorted(infused_facts([*shown, *rest]).values())
    assert end.achieved_frequency == {"min": found[0], "max": found[-1], "mean": np.mean(found)}
    assert end.extra["throttled_frequency"] == end.achieved_frequency
    assert found[-1] < 10
    assert (infused_facts(rest[4:]) == Counter()) == (keep == 0)

    again = Session(replace(whole, start_step=30, notify=said.append), resumed=state)
    assert train(again, first=120) == rest
    again.end(100)
    assert not any("warning" in line for line in said)
    assert read_run_log(tmp_path / "runs" / "r" / "kis.jsonl").end.achieved_frequency == end.achieved_frequency
