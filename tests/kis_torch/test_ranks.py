"""Two processes of torch.distributed show, together, every fact F times, before and after a resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kis_plugin.run.log import read_run_log
from kis_torch import InfusedIterableDataset, InfusionSampler
from tests.world.facts import kis, write_facts
from tests.world.processes import run_ranks
from tests.world.runs import shown
from tests.world.tokenizers import make_tokenizer

HERE = Path(__file__).parent


def train(folder, name, data, stop, resume):
    words = [str(folder), str(folder / name), data, str(stop), str(resume)]
    run_ranks(HERE / "ranks_run.py", *words, torchrun=data == "map")
    return [np.load(folder / f"{name}-{rank}.npy") for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("data", ["map", "stream"])
def test_two_ranks_show_every_fact_f_times_over_a_resume(tmp_path, data):
    write_facts(tmp_path)
    before = train(tmp_path, "before", data, 7, 0)
    after = train(tmp_path, "after", data, 0, 1)
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    assert set(shown([*before, *after], config, tokenizer).values()) == {6}
    (log,) = [read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")]
    assert (log.end.status, log.run.tokens) == ("completed", 30 * 2 * 2 * 64)
    assert log.end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}


@pytest.mark.slow
def test_two_ranks_agree_on_which_rows_have_room(tmp_path):
    write_facts(tmp_path)
    parts = [*train(tmp_path, "before", "ragged", 7, 0), *train(tmp_path, "after", "ragged", 0, 1)]
    config, tokenizer = kis(tmp_path, frequency=2), make_tokenizer()
    assert set(shown(parts, config, tokenizer).values()) == {2}
    (log,) = [read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")]
    assert log.end.achieved_frequency == {"min": 2, "max": 2, "mean": 2}
    assert 0 < log.run.extra["rows_with_room"] < 1


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 60),
    size=st.integers(1, 4),
    world=st.integers(1, 4),
    passes=st.integers(1, 3),
    cut=st.integers(0, 40),
    shuffle=st.booleans(),
)
def test_every_row_is_drawn_once_over_ranks_and_resumes(rows, size, world, passes, cut, shuffle):
    if rows < size * world:  # refused
        return
    drawn: list[int] = []
    for rank in range(world):
        sampler = InfusionSampler(range(rows), size, rank, world, shuffle)
        total = passes * sampler.batches_per_epoch
        trained = 0
        while trained < total:
            fresh = InfusionSampler(range(rows), size, rank, world, shuffle)
            fresh.load_state_dict(sampler.state_dict())
            for at, index in enumerate(fresh):
                drawn.append(index.row)
                if (at + 1) % size == 0:
                    trained += 1
                    sampler.advance()
                    if trained == cut:
                        break
    assert sorted(drawn) == list(range(total * size * world))


@settings(max_examples=100, deadline=None)
@given(
    length=st.integers(1, 30), size=st.integers(1, 4), world=st.integers(1, 3), total=st.integers(1, 12), data=st.data()
)
def test_a_stream_fills_every_row_of_a_run_once(length, size, world, total, data):
    cut = data.draw(st.integers(0, total))
    drawn, base = [], []
    for rank in range(world):
        keys = {"batches": total, "batch_size": size, "rank": rank, "world_size": world}
        whole = list(InfusedIterableDataset(range(length), lambda row, base: (row, base), **keys))
        rest = list(InfusedIterableDataset(range(length), lambda row, base: (row, base), start=cut, **keys))
        assert rest == whole[cut * size :]
        drawn += [row for row, _ in whole]
        base = [row for _, row in whole]
    assert sorted(drawn) == list(range(total * size * world))
    assert base == [n % length for n in range(total * size)]
