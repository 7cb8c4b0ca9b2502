"""The loader of ``examples/torchtitan``, built as torchtitan builds it: each step has the rows of the plan."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from kis_write import write_dataset
from tests.kis_write.test_written_rows import rows_of, texts_of
from tests.world.facts import kis, shown

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchtitan asks torch for all


@pytest.fixture
def example(monkeypatch):
    pytest.importorskip("torchtitan")
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples/torchtitan")
    yield importlib.import_module("kis_rows")
    sys.modules.pop("kis_rows")


def loader(example, folder, rank=0, ranks=1, batch=8, seq_len=64):
    config = example.KISDataLoader.Config(dataset_path=str(folder))
    given = {"dp_world_size": ranks, "dp_rank": rank, "tokenizer": None, "seq_len": seq_len, "local_batch_size": batch}
    return config.build(**given)


@pytest.mark.parametrize("ranks", [1, 2])
def test_each_step_has_the_rows_of_the_plan(request_for, tmp_path, example, ranks):
    write_dataset(request_for(), tmp_path / "out")
    loaders = [loader(example, tmp_path / "out", rank, ranks, 8 // ranks) for rank in range(ranks)]
    steps = [
        np.concatenate([np.concatenate([batch["input"], labels[:, -1:]], axis=1) for batch, labels in step])
        for step in zip(*loaders, strict=True)
    ]
    rows = np.concatenate(steps)
    np.testing.assert_array_equal(rows, rows_of(tmp_path / "out"))
    assert set(shown(texts_of(rows), kis(tmp_path)).values()) == {6}


def test_labels_are_the_next_tokens_and_a_resumed_loader_goes_on(request_for, tmp_path, example):
    write_dataset(request_for(), tmp_path / "out")
    first = loader(example, tmp_path / "out")
    batches = iter(first)
    for _ in range(5):
        batch, labels = next(batches)
        np.testing.assert_array_equal(batch["input"][:, 1:], labels[:, :-1])
    second = loader(example, tmp_path / "out")
    second.load_state_dict(first.state_dict())
    left = np.concatenate([labels for _, labels in second])
    np.testing.assert_array_equal(left, rows_of(tmp_path / "out")[40:, 1:])


def test_rows_of_another_length_are_refused(request_for, tmp_path, example):
    write_dataset(request_for(), tmp_path / "out")
    with pytest.raises(ValueError, match="rows of 64 tokens, not of 32"):
        loader(example, tmp_path / "out", seq_len=32)
