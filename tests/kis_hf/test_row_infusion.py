"""Rows that infused tokens are put into: of one length, with positions that do not cut a sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kis_plugin.errors import KISError
from kis_plugin.run.placed_row import Piece, Placed
from kis_torch.row_infusion import RowInfusion, common_length


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_hub_dataset_is_looked_through_as_a_whole(shuffled):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"input_ids": [[1] * (63 if n == 777 else 64) for n in range(2000)]})
    rows = rows.shuffle(seed=1) if shuffled else rows
    place = [len(row) for row in rows["input_ids"]].index(63)
    with pytest.raises(KISError, match=rf"train_dataset\[{place}\]: found a row of 63 tokens, .*expected 64"):
        common_length(rows)
    assert common_length(rows.select([n for n in range(2000) if n != place])) == 64
    assert common_length(rows.with_transform(lambda batch: {"input_ids": [[1] * 32 for _ in batch["input_ids"]]})) == 32


class Told:
    """Infuses tokens 100, 101, ... in texts of given lengths before given base tokens; into row 0 only."""

    def __init__(self, lengths, places, targets=None):
        self.lengths, self.places = lengths, places
        self.targets = None if targets is None else np.array(targets)

    def infused(self, row):
        return row == 0

    def place(self, row, base):
        if not self.infused(row):
            return None
        pieces, done, done_tokens = [], 0, 0
        for length, at in zip(self.lengths, self.places, strict=True):
            pieces += [Piece(False, done, at)] * (at > done) + [Piece(True, done_tokens, done_tokens + length)]
            done, done_tokens = at, done_tokens + length
        pieces.append(Piece(False, done, len(base) - done_tokens))
        return Placed(
            np.arange(100, 100 + done_tokens, dtype=np.int32), tuple(self.lengths), tuple(pieces), self.targets
        )


KINDS = [list, np.array, torch.tensor]


@pytest.mark.parametrize(
    ("places", "base", "expected"),
    [
        ([0], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]),
        ([0], [0, 1, 0, 1, 2, 3], [0, 1, 2, 3, 0, 1]),  # two documents: their border would cut an infused sentence
        ([0], [7, 8, 0, 1, 2, 3], [0, 1, 2, 3, 7, 8]),  # a row that begins inside a document
        ([1], [7, 8, 0, 1, 2, 3], [7, 8, 9, 10, 11, 12]),  # inside a document: its positions go on
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_base_positions_do_not_cut_infused_sentences(places, base, expected, kind):
    example = RowInfusion(Told([4], places), 6)(0, {"input_ids": kind(base), "position_ids": kind(base)})
    assert list(example["position_ids"]) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_keeps_its_length_and_type(kind):
    base = {"input_ids": kind([1, 2, 3, 4, 5, 6]), "labels": kind([1, 2, 3, 4, 5, 6]), "attention_mask": kind([1] * 6)}
    example = RowInfusion(Told([1, 2], [2, 2]), 6)(0, base)
    assert {name: list(map(int, column)) for name, column in example.items()} == {
        "input_ids": [1, 2, 100, 101, 102, 3],
        "labels": [1, 2, 100, 101, 102, 3],
        "attention_mask": [1] * 6,
    }
    assert all(type(column) is type(base[name]) for name, column in example.items())
    assert list(map(int, base["input_ids"])) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labels", [True, False])
def test_loss_is_taken_of_targets_alone(kind, labels):
    ids = kind([1, 2, 3, 4, 5])
    base = {"input_ids": ids, "labels": ids} if labels else {"input_ids": ids}
    example = RowInfusion(Told([3], [0], [False, True, False]), 5, explicit_labels=True)(0, base)
    assert list(map(int, example["input_ids"])) == [100, 101, 102, 1, 2]
    assert list(map(int, example["labels"])) == [-100, 101, -100, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_block_diagonal_texts_get_positions_and_no_mask(kind):
    row_infusion = RowInfusion(Told([2, 3], [0, 0]), 8, block_diagonal=True)
    base = {"input_ids": kind(list(range(8))), "attention_mask": kind([1] * 8)}
    done_tokens, plain = row_infusion(0, base), row_infusion(1, base)
    assert list(map(int, done_tokens["position_ids"])) == [0, 1, 0, 1, 2, 0, 1, 2]
    assert list(map(int, plain["position_ids"])) == list(range(8))
    assert "attention_mask" not in done_tokens
    assert "attention_mask" not in plain


@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 0, 1], [1, None, 0], [None], []])
@pytest.mark.parametrize("keys", [{}, {"explicit_labels": True}])
def test_the_rows_of_a_batch_that_change_are_found_together(rows, keys):
    class Between(Told):
        def infused_places(self, rows):
            return [place for place, row in enumerate(rows) if row is not None and self.infused(row)]

    for source in (Told([2], [0]), Between([2], [0])):
        infusion = RowInfusion(source, 6, **keys)
        expected = list(range(len(rows))) if keys else [place for place, row in enumerate(rows) if row == 0]
        assert list(infusion.places(rows)) == expected
