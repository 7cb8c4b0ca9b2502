"""The row map: every slot has exactly one row, where the schedule and its span say."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.infusion.apportion import Span, TooDense
from kis_plugin.infusion.row_map import RowMap
from kis_plugin.infusion.schedules import Uniform


class Weighted:
    name = "weighted"

    def __init__(self, weights):
        self.given = weights

    def weights(self, parts):
        return [self.given[part * len(self.given) // parts] for part in range(parts)]


def laid(spans, first, rows, schedule, seed):
    """The row of every slot of every span: one list a span."""
    table = RowMap(spans, first, rows, schedule, seed)
    found = [[] for _ in spans]
    for row in range(first - 3, first + rows + 3):
        at = table.at(row)
        if at is not None:
            span, slot = at
            assert slot == len(found[span])  # slots of a span come in order
            found[span].append(row)
    rows_at, stop = sorted(row for one in found for row in one), first + rows + 3
    for width in (1, 8, 300):  # a batch is looked at together
        batches = [table.slots_between(row, row + width) for row in range(first - 3, stop, width)]
        assert [row for batch in batches for row, _ in batch] == rows_at
        assert all(table.at(row) == at for batch in batches for row, at in batch)
    return found


@settings(max_examples=200, deadline=None)
@given(rows=st.integers(1, 3000), density=st.floats(0, 1), first=st.integers(0, 50), seed=st.integers(0, 2**63))
def test_uniform_gives_every_slot_one_row_evenly(rows, density, first, seed):
    slots = int(rows * density)
    [found] = laid([Span(first, first + rows, slots)], first, rows, Uniform(), seed)
    assert len(found) == slots
    for slot, row in enumerate(found):
        assert slot * rows // slots <= row - first < (slot + 1) * rows // slots


@settings(max_examples=200, deadline=None)
@given(
    rows=st.integers(200, 3000),
    spans=st.lists(st.tuples(st.floats(0, 0.8), st.floats(0.1, 1), st.integers(0, 60)), min_size=1, max_size=6),
    weights=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    seed=st.integers(0, 2**63),
)
def test_spans_keep_to_their_rows_and_lose_no_slot(rows, spans, weights, seed):
    made = []
    for start, length, slots in spans:
        first = int(start * rows)
        stop = min(first + max(int(length * rows), 1), rows)
        made.append(Span(first, stop, min(slots, (stop - first) // 8)))
    try:
        found = laid(made, 0, rows, Weighted(weights), seed)
    except TooDense:
        return
    assert [len(one) for one in found] == [span.slots for span in made]
    assert all(span.first <= row < span.stop for span, one in zip(made, found, strict=True) for row in one)


def test_weights_shape_the_density():
    [found] = laid([Span(0, 10_000, 1000)], 0, 10_000, Weighted([0, 1, 3]), 0)
    counts = np.histogram(found, bins=[0, 3333, 6667, 10_000])[0]
    assert counts[0] <= 10  # parts do not fall on thirds
    assert counts[2] / counts[1] == pytest.approx(3, rel=0.06)


def test_a_full_window_is_full():
    assert laid([Span(0, 1000, 1000)], 0, 1000, Uniform(), 0) == [list(range(1000))]
    found = laid([Span(0, 500, 250), Span(0, 1000, 500), Span(500, 1000, 250)], 0, 1000, Uniform(), 0)
    assert sorted(row for one in found for row in one) == list(range(1000))


def test_more_than_the_densest_part_holds_is_refused():
    with pytest.raises(TooDense) as caught:
        RowMap([Span(0, 1000, 800)], 0, 1000, Weighted([0, 1]), 0)
    assert caught.value.fits == pytest.approx(500 / 800, rel=0.02)


@pytest.mark.parametrize("weights", [[0], [-1, 2]])
def test_weights_that_are_no_shape_are_refused(weights):
    with pytest.raises(KISError, match="schedule weighted: found"):
        RowMap([Span(0, 100, 5)], 0, 100, Weighted(weights), 0)


def test_a_span_where_the_schedule_has_no_weight_is_refused():
    with pytest.raises(KISError, match="no weight in rows 0 to 40"):
        RowMap([Span(0, 40, 5)], 0, 100, Weighted([0, 1]), 0)


def test_it_pickles():
    table = RowMap([Span(0, 60, 9), Span(20, 100, 17)], 0, 100, Uniform(), 3)
    same = pickle.loads(pickle.dumps(table))
    assert [table.at(row) for row in range(100)] == [same.at(row) for row in reversed(range(100))][::-1]


def test_many_spans_take_a_moment():
    spans = [Span(n * 10, n * 10 + 1000, 3) for n in range(900)]
    found = laid(spans, 0, 10_000, Uniform(), 0)
    assert all(len(one) == 3 for one in found)
