"""What is planned for a row without room goes to the next one that has it, and all of it before the run ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_plugin.run.placed_row import Piece, Placed
from kis_plugin.run.row_lengths import RowLengths
from kis_torch.labels import IGNORED, LabelRule, infused_labels, label_rule
from kis_torch.room import RoomQueue, RoomSampler


@settings(max_examples=60, deadline=None)
@given(part=st.floats(0.3, 0.95), used=st.floats(0.05, 0.8), seed=st.integers(0, 1000), rows=st.integers(300, 3000))
def test_nothing_waits_when_the_run_ends(part, used, seed, rows):
    rng = np.random.default_rng(seed)
    has_room = rng.random(rows) < part
    lengths = RowLengths(np.where(has_room, 64, 8).astype(np.int64))
    infused = int(used * lengths.most(rows, 64))
    free = lengths.kept_free(rows, infused, 64)
    if free >= rows - infused:  # refused by the infuser
        return
    planned = set(rng.choice(rows - free, infused, replace=False).tolist())
    queue = RoomQueue(planned.__contains__)
    carried = [queue.next(row, bool(has_room[row])) for row in range(rows)]
    placed = [row for row in carried if row is not None]
    assert placed == sorted(planned)
    assert not queue.waiting
    assert all(has_room[row] for row, one in enumerate(carried) if one is not None)


@pytest.mark.parametrize("stop", [0, 13, 39, 40])
def test_a_sampler_goes_on_with_what_waited(stop):
    has_room = np.arange(40) % 3 == 0

    def order(sampler, epoch):
        sampler.epoch = epoch
        return [(int(index), index.row, index.carries) for index in sampler]

    def infused(row):
        return row % 5 == 0

    whole = RoomSampler(range(40), 40, RoomQueue(infused), has_room)
    expected = [order(whole, 0), order(whole, 1)]
    first = RoomSampler(range(40), 40, RoomQueue(infused), has_room)
    rows = iter(first)
    given_before = [next(rows, None) for _ in range(stop)]
    list(rows) if stop == 40 else None
    assert len(given_before) == stop
    epoch = stop // 40
    waiting = RoomSampler.waiting_at(epoch, first.state()) if stop else []
    again = RoomSampler(range(40), 40, RoomQueue(infused, waiting), has_room)
    assert order(again, epoch) == expected[epoch]


IDS = np.arange(1, 9)


@pytest.mark.parametrize(
    ("labels", "rule"),
    [
        (IDS, LabelRule.EQUAL),
        (np.where(IDS < 4, IGNORED, IDS), LabelRule.EQUAL),
        (np.append(IDS[1:], 9), LabelRule.SHIFTED),
        (np.append(np.where(IDS[1:] < 4, IGNORED, IDS[1:]), 9), LabelRule.SHIFTED),
        (np.full(8, IGNORED), LabelRule.EQUAL),
    ],
)
def test_the_rule_of_labels_is_read_from_base_rows(labels, rule):
    assert label_rule([(IDS, labels)]) is rule


def test_rows_that_keep_to_different_rules_are_refused():
    with pytest.raises(KISError, match="shifted beforehand"):
        label_rule([(IDS, IDS), (IDS, np.append(IDS[1:], 9))])


@pytest.mark.parametrize(
    ("pieces", "ids", "labels"),
    [
        ([(True, 0, 3), (False, 0, 5)], [91, 92, 93, 1, 2, 3, 4, 5], [92, 93, 1, 2, 3, 4, 5, 6]),
        ([(False, 0, 2), (True, 0, 3), (False, 2, 5)], [1, 2, 91, 92, 93, 3, 4, 5], [2, 91, 92, 93, 3, 4, 5, 6]),
        ([(False, 0, 5), (True, 0, 3)], [1, 2, 3, 4, 5, 91, 92, 93], [2, 3, 4, 5, 91, 92, 93, IGNORED]),
    ],
)
def test_shifted_labels_of_an_infused_row_are_its_next_tokens(pieces, ids, labels):
    placed = Placed(np.array([91, 92, 93], dtype=np.int32), (3,), tuple(Piece(*one) for one in pieces))
    assert placed.joined(placed.tokens, IDS).tolist() == ids
    base = np.append(IDS[1:], 9)
    assert infused_labels(LabelRule.SHIFTED, placed, IDS, base, "row").tolist() == labels
