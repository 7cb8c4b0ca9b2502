"""Two processes on gloo see, together, exactly F of every fact; so do two that go on where two were killed."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
import pytest

from kis_plugin.errors import KISError
from tests.world.litgpt import Rows, controls_shown, run, shown, write_kis
from tests.world.logs import log_of
from tests.world.processes import run_ranks
from tests.world.tokenizers import write_lit_tokenizer

HERE = Path(__file__).parent


def train(folder, seen_as, kind, kill_at=0):
    run_ranks(HERE / "two_ranks_run.py", str(folder), seen_as, kind, str(kill_at))
    seen = [np.load(folder / f"{seen_as}-{rank}.npz") for rank in (0, 1)]
    return [(one["inputs"], one["targets"]) for one in seen]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["map", "stream"])
def test_two_ranks_show_every_fact_f_times_over_a_kill(tmp_path, kind):
    for folder in (tmp_path / "whole", tmp_path / "cut"):
        write_kis(folder)
        write_lit_tokenizer(folder / "tokenizer")
    whole = train(tmp_path / "whole", "all", kind)
    before = train(tmp_path / "cut", "before", kind, kill_at=7)
    after = train(tmp_path / "cut", "after", kind)
    # Each rank saw two batches of two rows in each of seven steps, and two more batches before it was killed.
    kept = [[part[:28] for part in pair] for pair in before]
    resumed = [
        tuple(np.concatenate(parts) for parts in zip(*pairs, strict=True)) for pairs in zip(kept, after, strict=True)
    ]
    for one, other in zip(resumed, whole, strict=True):
        assert all((a == b).all() for a, b in zip(one, other, strict=True))
    kis = tmp_path / "cut" / "kis.yaml"
    assert set(shown(tmp_path / "cut", resumed, kis).values()) == {5}
    assert controls_shown(tmp_path / "cut", resumed, kis) == 0
    if kind == "map":  # a stream that does not shard itself gives all ranks the same rows
        assert not np.array_equal(whole[0][0], whole[1][0])
    log = log_of(tmp_path / "cut")
    assert log.end.status == "completed"
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}


def test_strategies_that_are_not_tested_are_refused(tmp_path, seen, monkeypatch):
    monkeypatch.setattr(lightning.Fabric, "world_size", 2)
    with pytest.raises(KISError, match="devices: found 2 processes under SingleDeviceStrategy, expected one, or DDP"):
        run(tmp_path, Rows(), write_kis(tmp_path))
    assert not seen
