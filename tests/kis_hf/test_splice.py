"""Rows that infused tokens are put into: of one length, with positions that do not cut a sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kis_hf.splice import Splice, block_size
from kis_plugin.errors import KISError


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_hub_dataset_is_looked_through_as_a_whole(shuffled):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"input_ids": [[1] * (63 if n == 777 else 64) for n in range(2000)]})
    rows = rows.shuffle(seed=1) if shuffled else rows
    place = [len(row) for row in rows["input_ids"]].index(63)
    with pytest.raises(KISError, match=rf"train_dataset\[{place}\]: found a row of 63 tokens, .*expected 64"):
        block_size(rows)
    assert block_size(rows.select([n for n in range(2000) if n != place])) == 64
    assert block_size(rows.with_transform(lambda batch: {"input_ids": [[1] * 32 for _ in batch["input_ids"]]})) == 32


class Head:
    def head(self, row):
        return np.arange(100, 104, dtype=np.int32)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]),
        ([0, 1, 0, 1, 2, 3], [0, 1, 2, 3, 0, 1]),  # two documents: their border would cut an infused sentence
    ],
)
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_positions_of_base_documents_do_not_cut_infused_sentences(base, expected, kind):
    example = Splice(Head(), 6)(0, {"input_ids": kind(base), "position_ids": kind(base)})
    assert list(example["position_ids"]) == expected
