"""Two processes on gloo see, together, exactly F of every fact; so do two that go on where two were killed."""

from __future__ import annotations

import shutil
from pathlib import Path

import lightning
import numpy as np
import pytest
from torch.utils.data import DataLoader, DistributedSampler

from kis_litgpt.epochs import Epochs
from kis_litgpt.resume import Layout, changed_order, deal_to_one, differs_between_ranks
from kis_plugin.errors import KISError
from kis_plugin.run.ranks import Ranks
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
def test_two_ranks_show_every_fact_f_times_over_a_kill(tmp_path, kind, seen):
    for folder in (tmp_path / "whole", tmp_path / "cut"):
        write_kis(folder)
        write_lit_tokenizer(folder / "tokenizer")
    whole = train(tmp_path / "whole", "all", kind)
    said = [(tmp_path / "whole" / f"all-{rank}.txt").read_text() for rank in (0, 1)]
    warned = [text.count("the state of the data loader differs between processes") for text in said]
    assert warned == ([1, 0] if kind == "stream" else [0, 0])  # there each rank keeps a place of its own
    before = train(tmp_path / "cut", "before", kind, kill_at=7)
    alone = shutil.copytree(tmp_path / "cut", tmp_path / "alone")
    on_one = {"steps": 18, "batch": 2, "accumulation": 4, "resume": "auto"}
    if kind == "map":
        run(alone, Rows(count=83), alone / "kis.yaml", **on_one)
    else:
        with pytest.raises(KISError, match=r"on 1 processes, expected 4 on 2 as before.*decides itself which rows"):
            run(alone, Rows(count=83, kind=kind), alone / "kis.yaml", **on_one)
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
    if kind == "map":  # from step 7 to 10 one process is given the facts that two were
        own = [tuple(np.concatenate(parts)[: 3 * 8] for parts in zip(*seen, strict=True))]
        of_both = [tuple(part[28:40] for part in pair) for pair in resumed]
        kis = alone / "kis.yaml"
        assert shown(alone, own, kis) == shown(alone, of_both, kis)
        assert log_of(alone).end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    if kind == "map":  # a stream that does not shard itself gives all ranks the same rows
        assert not np.array_equal(whole[0][0], whole[1][0])
    log = log_of(tmp_path / "cut")
    assert log.end.status == "completed"
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}


def test_one_process_reads_the_rows_of_each_step_that_two_did(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    fabric = [DistributedSampler(range(80), 2, rank, shuffle=True, seed=7) for rank in (0, 1)]
    loader = DataLoader(range(80), batch_size=2, shuffle=True)
    deal_to_one(loader)
    for epoch in (0, 1):
        for sampler in (*fabric, loader.batch_sampler.sampler):
            sampler.set_epoch(epoch)
        of_two = [list(sampler) for sampler in fabric]
        own = [row for batch in loader.batch_sampler for row in batch]
        for step in range(10):
            assert {*own[8 * step : 8 * step + 8]} == {row for one in of_two for row in one[4 * step : 4 * step + 4]}


def test_states_are_compared_over_all_ranks():
    def answer(states):
        """What rank 0 finds: ranks call the same sums one after the other."""
        digests = []
        for state in states:
            differs_between_ranks(state, Ranks(0, 1, lambda array: digests.append(int(array[0])) or array))
        sums = [np.array([digests[0], digests[2]]), np.array([digests[1], digests[3]])]
        return differs_between_ranks(states[0], Ranks(0, 2, lambda array: sums.pop(0)))

    assert not answer([{"place": 3}, {"place": 3}])
    assert answer([{"place": 3}, {"place": 4}])
    assert answer([{"place": 4}, {"place": 3}])


def test_an_order_that_fabric_changes_is_refused():
    """One process shuffles by torch's own sampler; several by Fabric's, whatever the seed."""
    one, two = Layout(8, 1, 1, dealt=False), Layout(8, 1, 2, dealt=True)
    for shuffle, from_one, from_two in ((True, 1, 0), (False, 0, 0)):
        epochs = Epochs(DataLoader([1] * 80, batch_size=4, shuffle=shuffle))
        assert len(changed_order(5, two, one, epochs)) == from_one
        assert len(changed_order(5, Layout(8, 1, 1, dealt=True), two, epochs)) == from_two
    epochs.given = 3
    (problem,) = changed_order(5, Layout(16, 1, 2, dealt=True), two, epochs)
    assert "24 rows of the epoch were read" in problem.hint


def test_strategies_that_are_not_tested_are_refused(tmp_path, seen, monkeypatch):
    monkeypatch.setattr(lightning.Fabric, "world_size", 2)
    with pytest.raises(KISError, match="devices: found 2 processes under SingleDeviceStrategy, expected one, or DDP"):
        run(tmp_path, Rows(), write_kis(tmp_path))
    assert not seen
