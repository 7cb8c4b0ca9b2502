"""A plain loop shows every fact exactly F times, of any kind of data, and goes on where it was stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import RandomSampler, Sampler

from kis_plugin.errors import KISError
from kis_plugin.run.log import read_run_log
from kis_torch import InfusedDataset, InfusedIterableDataset, InfusionSampler, KnowledgeInfusion
from tests.world.data import BareRows, Stream, TensorRows
from tests.world.facts import kis
from tests.world.loops import train
from tests.world.models import make_model
from tests.world.runs import controls_shown, shown
from tests.world.tokenizers import make_tokenizer


def run_log(folder):
    (path,) = (folder / "runs").glob("*/kis.jsonl")
    return read_run_log(path)


def stream(*args):
    return Stream(BareRows(*args))


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (BareRows, {}),
        (TensorRows, {}),
        (stream, {}),
        (BareRows, {"num_workers": 2}),
        (stream, {"num_workers": 2}),
        (BareRows, {"accumulation": 3, "steps": 12}),
        (BareRows, {"steps": 45, "shuffle": False}),  # passes of 19 batches: two rows of 78 are left out in each
        (stream, {"steps": 45}),
    ],
)
def test_every_fact_is_shown_exactly_f_times(tmp_path, data, keys):
    config, tokenizer, seen = kis(tmp_path, frequency=5), make_tokenizer(), []
    train(config, data(78, tokenizer), seen, **keys)
    assert set(shown(seen, config, tokenizer).values()) == {5}
    assert controls_shown(seen, config, tokenizer) == 0
    log = run_log(tmp_path)
    assert (log.run.framework, log.end.status) == ("torch", "completed")
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    assert log.run.tokens == len(seen) * 4 * 64


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_targets_hold_whole_facts(tmp_path, kind):
    config, tokenizer, seen = kis(tmp_path, frequency=5), make_tokenizer(), []
    train(config, BareRows(80, tokenizer, kind, extra=1), seen, keys={"sequence_length": 64})
    assert {batch.shape for batch in seen} == {(4, 65)}
    assert set(shown([batch[:, 1:] for batch in seen], config, tokenizer).values()) == {5}
    assert run_log(tmp_path).end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}


@pytest.mark.parametrize(("data", "workers"), [(BareRows, 0), (BareRows, 2), (stream, 0), (stream, 2), (stream, 3)])
@pytest.mark.parametrize("cut", [7, 20, 26])
def test_a_resumed_run_shows_the_same_rows_as_an_unbroken_one(tmp_path, data, workers, cut):
    config, tokenizer, whole, seen = kis(tmp_path, frequency=5), make_tokenizer(), [], []
    rows, keys = data(80, tokenizer), {"steps": 36, "num_workers": workers}
    train(config, rows, whole, **keys)
    (unbroken,) = (tmp_path / "runs").glob("*/kis.jsonl")
    _, state = train(config, rows, seen, stop=cut, **keys)
    train(config, rows, seen, resumed=state, **keys)
    assert [batch.tolist() for batch in seen] == [batch.tolist() for batch in whole]
    assert set(shown(seen, config, tokenizer).values()) == {5}
    (resumed,) = set((tmp_path / "runs").glob("*/kis.jsonl")) - {unbroken}
    assert read_run_log(resumed).end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}


@pytest.mark.parametrize("data", [BareRows, stream])
def test_several_ranks_show_the_rows_that_one_does(tmp_path, data):
    config, tokenizer, alone, together = kis(tmp_path, frequency=5), make_tokenizer(), [], {}
    rows = data(80, tokenizer)
    train(config, rows, alone, keys={"batch_size": 4}, shuffle=False)
    for rank in (0, 1):
        seen = []
        infusion = KnowledgeInfusion(
            config, tokenizer, make_model(), rows, batch_size=2, steps=20, rank=rank, world_size=2, sums=lambda a: a
        )
        for batch in infusion.loader(rows, shuffle=False):
            infusion.batch(batch)
            seen.append(batch.numpy())
        together[rank] = seen
    both = [np.concatenate(pair) for pair in zip(together[0], together[1], strict=True)]
    assert set(shown(both, config, tokenizer).values()) == {5}
    if data is BareRows:
        assert [batch.tolist() for batch in both] == [batch.tolist() for batch in alone]


class Thirds(Sampler):
    """Every third row, then those after them, and so on."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return self.rows

    def __iter__(self):
        return iter([3 * index % self.rows for index in range(self.rows)])


def test_a_sampler_of_ones_own_keeps_its_order(tmp_path):
    tokenizer, seen = make_tokenizer(), []
    rows = BareRows(80, tokenizer)
    train(kis(tmp_path, frequency=0), rows, seen, sampler=Thirds(80))
    assert np.array_equal(np.concatenate(seen), rows.rows[list(Thirds(80))])
    sampler = InfusionSampler(RandomSampler(rows), 4)
    assert len(list(sampler)) == 80


def test_passes_and_their_numbers_go_with_what_was_trained_on():
    sampler = InfusionSampler(range(22), 2, rank=1, world_size=2, shuffle=False)
    assert [(int(index), index.row) for index in sampler] == [(n, n) for n in (2, 3, 6, 7, 10, 11, 14, 15, 18, 19)]
    sampler.advance(6)
    assert (sampler.epoch, len(sampler)) == (1, 8)
    assert [(int(index), index.row) for index in sampler][:2] == [(6, 26), (7, 27)]
    sampler.set_epoch(1)
    with pytest.raises(KISError, match="set_epoch: found 2, with 6 batches trained on, 5 an epoch, expected 1"):
        sampler.set_epoch(2)
    again = InfusionSampler(range(22), 2, rank=0, world_size=2, shuffle=False)
    again.load_state_dict(sampler.state_dict())
    assert again.trained == 6
    with pytest.raises(KISError, match="rows_per_batch: found 2, expected 4 as before"):
        InfusionSampler(range(22), 2).load_state_dict(sampler.state_dict())


def test_the_parts_can_be_had_by_themselves(tmp_path):
    tokenizer = make_tokenizer()
    rows = BareRows(80, tokenizer)
    infusion = KnowledgeInfusion(kis(tmp_path), tokenizer, make_model(), rows, batch_size=4, steps=20)
    assert isinstance(infusion.dataset(rows), InfusedDataset)
    assert isinstance(infusion.dataset(Stream(rows)), InfusedIterableDataset)
    loader = torch.utils.data.DataLoader(infusion.dataset(rows), batch_size=4, sampler=infusion.sampler(rows))
    for step, batch in enumerate(loader, start=1):
        infusion.batch(batch)
        infusion.step_end(step)
    infusion.end()
    infusion.end()
    assert run_log(tmp_path).end.achieved_frequency == {"min": 3, "max": 3, "mean": 3}


def test_retention_reaches_the_run_log_and_the_loops_own(tmp_path):
    logged = []
    infusion, _ = train(
        kis(tmp_path), BareRows(80, make_tokenizer()), [], log=lambda step, metrics: logged.append((step, metrics))
    )
    assert [step for step, _ in logged] == [0, 10, 20]
    assert {"retention/held_out", "retention/seen", "retention/control"} <= set(logged[0][1])
    assert [r.step for r in run_log(tmp_path).retention if r.probe == "held_out"] == [0, 10, 20]


def test_a_stream_in_workers_needs_a_batch_size():
    rows = InfusedIterableDataset(Stream(range(8)), lambda row, base: base, batches=8)
    assert list(rows) == list(range(8))
    with pytest.raises(KISError, match="num_workers: found 2, expected at most 1 without batch_size"):
        list(torch.utils.data.DataLoader(rows, num_workers=2))


def test_a_stream_that_does_not_begin_anew_is_refused():
    class Once:
        def __init__(self):
            self.left = iter(range(5))

        def __iter__(self):
            return self.left

    with pytest.raises(KISError, match="found no rows in epoch 2"):
        list(InfusedIterableDataset(Once(), lambda row, base: base, batches=8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 8}, "rows_per_step: found 8, expected 4 as before"),
        ({"accumulation": 2}, "rows_per_step: found 8, expected 4 as before"),
        ({"steps": 30}, "rows: found 120, expected 80"),
    ],
)
def test_a_resume_with_other_rows_is_refused(tmp_path, change, message):
    config, rows = kis(tmp_path), BareRows(80, make_tokenizer())
    _, state = train(config, rows, [], stop=7)
    keys = {"batch_size": 4, "steps": 20} | change
    with pytest.raises(KISError, match=message):
        KnowledgeInfusion(config, make_tokenizer(), make_model(), rows, resumed=state, **keys)


def test_loops_that_tell_something_else_are_refused(tmp_path):
    rows = BareRows(80, make_tokenizer())
    keys, of_objects = {"batch_size": 4, "steps": 20}, kis(tmp_path, infusion={"loss": "object"})
    infusion = KnowledgeInfusion(kis(tmp_path), make_tokenizer(), make_model(), rows, **keys)
    with pytest.raises(
        KISError, match=r"step_end\(\): found step 1 after step 0, and 0 batches, expected step 1 after 1"
    ):
        infusion.step_end(1)
    with pytest.raises(KISError, match=r"batch\(\): found batch 1, of shape \(3, 64\)"):
        infusion.batch(torch.zeros(3, 64, dtype=torch.long))
    with pytest.raises(KISError, match="sequence_length: found 32, expected 64 or 63, with rows of 64 tokens"):
        KnowledgeInfusion(kis(tmp_path), make_tokenizer(), make_model(), rows, sequence_length=32, **keys)
    with pytest.raises(KISError, match="found object, expected all, where examples are bare"):
        KnowledgeInfusion(of_objects, make_tokenizer(), make_model(), rows, **keys)
    with pytest.raises(KISError, match="rank, world_size: found 0, None"):
        KnowledgeInfusion(kis(tmp_path), make_tokenizer(), make_model(), rows, rank=0, **keys)
    with pytest.raises(KISError, match="found 80 rows, expected at least one batch over all ranks, 100"):
        InfusionSampler(rows, 100)


def test_a_run_that_fails_is_not_ended(tmp_path):
    rows = BareRows(80, make_tokenizer())
    with (
        pytest.raises(RuntimeError),
        KnowledgeInfusion(kis(tmp_path), make_tokenizer(), make_model(), rows, batch_size=4, steps=20),
    ):
        raise RuntimeError
    assert run_log(tmp_path).end is None


def test_ranks_that_cannot_reach_each_other_are_refused(tmp_path):
    rows = BareRows(80, make_tokenizer())
    with pytest.raises(KISError, match="world_size: found 2 without a process group, expected"):
        KnowledgeInfusion(
            kis(tmp_path), make_tokenizer(), make_model(), rows, batch_size=4, steps=5, rank=0, world_size=2
        )


def test_a_checkpoint_inside_a_step_is_refused(tmp_path):
    config, rows = kis(tmp_path), BareRows(80, make_tokenizer())
    infusion, state = train(config, rows, [], stop=3)
    infusion.batch(next(iter(infusion.loader(rows))))
    with pytest.raises(KISError, match=r"save\(\): found 4 batches at step 3, expected 3"):
        infusion.save()
    with pytest.raises(KISError, match="resume at step 3: rows_per_epoch: found 60, expected 80 as before"):
        train(config, BareRows(60, make_tokenizer()), [], resumed=state)


@pytest.mark.parametrize("infusion", [{"loss": "object"}, {"attention": "sentence"}])
def test_bare_streams_have_no_room_for_labels_and_positions(tmp_path, infusion):
    rows = stream(80, make_tokenizer())
    with pytest.raises(KISError, match="found bare token ids"):
        train(kis(tmp_path, infusion=infusion), rows, [], keys={"sequence_length": 64})


@pytest.mark.parametrize("labels", [True, False])
def test_loss_on_objects_reaches_every_batch(tmp_path, labels):
    class Unlabelled(TensorRows):
        def __getitem__(self, index):
            example = super().__getitem__(index)
            return example if labels else {name: column for name, column in example.items() if name != "labels"}

    tokenizer = make_tokenizer()
    config = kis(tmp_path, frequency=5, infusion={"loss": "object"})
    rows = Unlabelled(80, tokenizer)
    infusion = KnowledgeInfusion(config, tokenizer, make_model(), rows, batch_size=4, steps=20)
    hidden = 0
    for batch in infusion.loader(rows):
        learned = batch["labels"] != -100
        assert (batch["labels"][learned] == batch["input_ids"][learned]).all()
        hidden += int((~learned).sum())
    assert hidden > 500
