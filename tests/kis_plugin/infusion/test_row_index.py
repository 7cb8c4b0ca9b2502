"""Row numbers survive batching, sharding and workers; repeated rows lose theirs."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.infusion.row_index import InfusedDataset, NumberedSampler, OncePerRow, RowIndex

torch_data = pytest.importorskip("torch.utils.data")
accelerate_data = pytest.importorskip("accelerate.data_loader")


def test_a_row_index_is_an_int_that_pickles_with_its_row():
    index = pickle.loads(pickle.dumps(RowIndex(5, 1005)))
    assert (index, index.row, [10, 20, 30, 40, 50, 60][index]) == (5, 1005, 60)


def test_an_index_without_a_row_is_its_own():
    dataset = InfusedDataset(["a", "b", "c"], lambda row, base: f"{base}@{row}")
    assert dataset[1] == "b@1"
    assert dataset[RowIndex(1, 77)] == "b@77"
    assert dataset[RowIndex(1, None)] == "b@None"  # base text, which may still need positions of its own
    assert dataset[RowIndex(1, 77, 70)] == "b@70"
    assert dataset[pickle.loads(pickle.dumps(RowIndex(1, 77, None)))] == "b@None"
    assert dataset.__getitems__([RowIndex(0, 9), 2]) == ["a@9", "c@2"]


class OfSome:
    """Changes rows above 5, and names them."""

    def places(self, rows):
        return [place for place, row in enumerate(rows) if row > 5]

    def __call__(self, row, base):
        return f"{base}@{row}"


def test_only_the_examples_that_change_are_made():
    base = ["a", "b", "c"]
    assert InfusedDataset(base, OfSome()).__getitems__([RowIndex(0, 4), RowIndex(1, 9), 2]) == ["a", "b@9", "c"]
    assert base == ["a", "b", "c"]


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 60),
    batch=st.integers(1, 5),
    world=st.integers(1, 4),
    drop_last=st.booleans(),
    split=st.booleans(),
    even=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_every_row_of_an_epoch_is_drawn_once_over_all_ranks(rows, batch, world, drop_last, split, even, epoch):
    size = batch * world if split else batch
    if rows < batch * world:  # refused by the adapter
        return
    drawn: list[int] = []
    for rank in range(world):
        numbered = NumberedSampler(torch_data.SequentialSampler(range(rows)), rows)
        numbered.epoch = epoch
        batches = torch_data.BatchSampler(numbered, size, drop_last)
        if world > 1:
            batches = accelerate_data.BatchSamplerShard(batches, world, rank, split, even)
        for indices in OncePerRow(batches, drawn.extend):
            assert all(index.row is None or index.row == epoch * rows + index for index in indices)
    expected = rows // (batch * world) * (batch * world) if drop_last else rows
    assert sorted(drawn) == list(range(epoch * rows, epoch * rows + expected))


def test_batches_that_the_host_skips_are_not_reported():
    drawn: list[int] = []
    batches = torch_data.BatchSampler(NumberedSampler(range(8), 8), 2, False)
    assert len(list(OncePerRow(batches, drawn.extend, skip=3))) == 4
    assert drawn == [6, 7]
