"""Iterable datasets under the Trainer: every row that is trained on has one number, or the run does not go on."""

from __future__ import annotations

import pytest
import torch

from kis_hf.epochs import Epochs, Position
from kis_plugin.errors import KISError
from kis_plugin.run.log import read_run_log
from kis_torch.batch import BatchRows
from tests.world.data import BaseRows, SizedStream, Stream
from tests.world.facts import kis
from tests.world.runs import StopAt, controls_shown, shown, trainer_for
from tests.world.tokenizers import make_tokenizer

ALL_DRAW = {"dispatch_batches": False}  # where one rank draws for all, accelerate has errors of its own for no data


def run_log(folder):
    (path,) = (folder / "runs").glob("*/kis.jsonl")
    return read_run_log(path)


def hub_stream(rows):
    datasets = pytest.importorskip("datasets")
    columns = {name: [row[name] for row in rows] for name in ("input_ids", "labels")}
    return datasets.Dataset.from_dict(columns).to_iterable_dataset(num_shards=4)


@pytest.mark.parametrize("data", [Stream, SizedStream, hub_stream])
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"dataloader_num_workers": 2},
        {"gradient_accumulation_steps": 3, "max_steps": 12},
        {"max_steps": 45},  # two passes and a quarter
        {"rows": 78, "max_steps": 45},  # a short batch at the end of each pass
    ],
    ids=lambda keys: ",".join(f"{key}={value}" for key, value in keys.items()) or "plain",
)
def test_every_fact_is_shown_exactly_f_times(tmp_path, data, keys):
    config, tokenizer = kis(tmp_path, frequency=5), make_tokenizer()
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer, data=data, **keys)
    trainer.train()
    counts = shown(trainer.seen, config, tokenizer)
    assert len(counts) == 20
    assert set(counts.values()) == {5}
    assert controls_shown(trainer.seen, config, tokenizer) == 0
    log = run_log(tmp_path)
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    assert log.run.tokens == sum(len(batch) for batch in trainer.seen) * 64 or "gradient_accumulation_steps" in keys
    assert [r.step for r in log.retention if r.probe == "held_out"] == [
        0,
        *(round(trainer.state.max_steps * part) for part in (0.5, 1)),
    ]


@pytest.mark.parametrize("placement", ["inline", "rows"])
@pytest.mark.parametrize("loss", ["all", "object"])
def test_other_placements_and_losses_are_put_into_batches_too(tmp_path, placement, loss):
    config, tokenizer = kis(tmp_path, frequency=4, infusion={"placement": placement, "loss": loss}), make_tokenizer()
    trainer = trainer_for(tmp_path, config, rows=200, tokenizer=tokenizer, data=Stream, max_steps=45)
    trainer.train()
    assert run_log(tmp_path).end.achieved_frequency == {"min": 4, "max": 4, "mean": 4}


def test_a_short_batch_is_left_out_and_infused_of(tmp_path, capsys):
    config, tokenizer = kis(tmp_path, frequency=5), make_tokenizer()
    trainer = trainer_for(tmp_path, config, rows=78, tokenizer=tokenizer, data=Stream, max_steps=45)
    trainer.train()
    assert {len(batch) for batch in trainer.seen} == {4}
    assert capsys.readouterr().err.count("a batch of 2 rows in place of 4. It is left out") == 1


def test_an_end_inside_a_step_is_infused_of_and_counts_stay_exact(tmp_path, capsys):
    config, tokenizer = kis(tmp_path, frequency=5), make_tokenizer()
    keys = {"gradient_accumulation_steps": 3, "max_steps": 12, "tokenizer": tokenizer, "data": Stream}
    trainer = trainer_for(tmp_path, config, **keys)
    trainer.train()
    assert len(trainer.seen) == 12 * 3 + 2  # the Trainer adds the two batches that are left of a pass to the next step
    assert "ended after 2 of the 3 batches of an optimizer step" in capsys.readouterr().err
    assert set(shown(trainer.seen, config, tokenizer).values()) == {5}


def test_without_infusion_every_loss_is_bit_identical(tmp_path):
    keys = {"logging_steps": 1, "data": Stream, "rows": 78, "max_steps": 30}
    plain = trainer_for(tmp_path / "plain", None, **keys)
    plain.train()
    watched = trainer_for(tmp_path / "kis", kis(tmp_path, frequency=0), **keys)
    watched.train()
    losses = [[entry["loss"] for entry in t.state.log_history if "loss" in entry] for t in (plain, watched)]
    assert len(losses[0]) == 30
    assert losses[0] == losses[1]
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), watched.model.parameters(), strict=True))


def test_a_dataset_that_can_be_read_once_is_read_once(tmp_path):
    class Once(torch.utils.data.IterableDataset):
        def __init__(self, rows):
            self.left = iter([rows[index] for index in range(len(rows))])

        def __iter__(self):
            return self.left

    config, tokenizer = kis(tmp_path, frequency=5), make_tokenizer()
    trainer = trainer_for(tmp_path, config, rows=84, tokenizer=tokenizer, data=Once)
    trainer.train()
    assert set(shown(trainer.seen, config, tokenizer).values()) == {5}
    plain = trainer_for(tmp_path, None, rows=84, tokenizer=tokenizer, data=Once)
    plain.train()
    same = [(ours == theirs).all(axis=1).any() for ours, theirs in zip(trainer.seen, plain.seen, strict=True)]
    assert sum(same) > 10


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("data", "cut"), [(Stream, 7), (Stream, 20), (SizedStream, 7), (SizedStream, 20), (SizedStream, 26)]
)
def test_a_resumed_run_shows_the_same_rows_as_an_unbroken_one(tmp_path, data, cut, workers):
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    keys = {"max_steps": 36, "dataloader_num_workers": workers, "save_strategy": "steps", "save_steps": 1000}
    keys |= {"data": data, "tokenizer": tokenizer}
    whole = trainer_for(tmp_path / "whole", config, **keys)
    whole.train()
    (unbroken,) = (tmp_path / "runs").glob("*/kis.jsonl")
    first = trainer_for(tmp_path, config, callbacks=[StopAt(cut)], **keys)
    first.train()
    second = trainer_for(tmp_path, config, **keys)
    second.train(resume_from_checkpoint=True)
    seen = [*first.seen, *second.seen]
    assert [batch.tolist() for batch in seen] == [batch.tolist() for batch in whole.seen]
    assert set(shown(seen, config, tokenizer).values()) == {6}
    (resumed,) = set((tmp_path / "runs").glob("*/kis.jsonl")) - {unbroken}
    assert read_run_log(resumed).end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}


@pytest.mark.parametrize(("data", "cut"), [(Stream, 7), (SizedStream, 7), (SizedStream, 12)])
@pytest.mark.parametrize("size", [8, 2])
def test_a_resume_in_batches_of_another_size_shows_the_same_rows(tmp_path, data, cut, size):
    """As on another number of processes: a step has the same rows, in more or fewer batches."""
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    keys = {"max_steps": 18, "save_strategy": "steps", "save_steps": 1000, "data": data, "tokenizer": tokenizer}
    before = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    after = {"per_device_train_batch_size": size, "gradient_accumulation_steps": 8 // size}
    whole = trainer_for(tmp_path / "whole", config, **keys, **before)
    whole.train()
    first = trainer_for(tmp_path, config, callbacks=[StopAt(cut)], **keys, **before)
    first.train()
    second = trainer_for(tmp_path, config, **keys, **after)
    second.train(resume_from_checkpoint=True)
    seen = torch.tensor([row.tolist() for batch in (*first.seen, *second.seen) for row in batch])
    assert torch.equal(seen, torch.tensor([row.tolist() for batch in whole.seen for row in batch]))
    assert len(second.seen[0]) == size
    assert set(shown([seen.numpy()], config, tokenizer).values()) == {6}


@pytest.mark.parametrize(
    ("cut", "keys", "message"),
    [
        (26, {}, "train_dataset: found batch 26 of epoch 1, expected batch 6 of epoch 2"),
        (7, {"ignore_data_skip": True}, "found batch 0 of epoch 1, expected batch 7 of epoch 1"),
        (7, {"per_device_train_batch_size": 8}, "rows_per_step: found 8, expected 4 as before"),
        (7, {"gradient_accumulation_steps": 2}, "rows_per_step: found 8, expected 4 as before"),
        (7, {"data": lambda rows: rows}, "rows_per_epoch: found 80, expected 0 as before"),
    ],
)
def test_a_resume_that_would_go_on_elsewhere_is_refused(tmp_path, cut, keys, message):
    config, both = kis(tmp_path), {"save_strategy": "steps", "save_steps": 1000, "max_steps": 36, "data": Stream}
    trainer_for(tmp_path, config, callbacks=[StopAt(cut)], **both).train()
    second = trainer_for(tmp_path, config, **(both | keys))
    with pytest.raises(KISError, match=message):
        second.train(resume_from_checkpoint=True)
    assert not hasattr(second, "seen")


def test_on_mismatch_warn_goes_on_with_exact_counts(tmp_path, capsys):
    config, tokenizer = kis(tmp_path, frequency=6, on_mismatch="warn"), make_tokenizer()
    keys = {"save_strategy": "steps", "save_steps": 1000, "max_steps": 36, "data": Stream, "tokenizer": tokenizer}
    first = trainer_for(tmp_path, config, callbacks=[StopAt(26)], **keys)
    first.train()
    second = trainer_for(tmp_path, config, **keys)
    second.train(resume_from_checkpoint=True)
    assert "the data continues elsewhere" in capsys.readouterr().err
    assert set(shown([*first.seen, *second.seen], config, tokenizer).values()) == {6}
    assert run_log(tmp_path).end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}


@pytest.mark.parametrize(
    ("said", "message"), [(100, "ended after 20 of 25 batches"), (82, "ended after 20 of 21 batches")]
)
def test_a_wrong_length_stops_the_run_where_it_shows(tmp_path, said, message):
    trainer = trainer_for(tmp_path, kis(tmp_path), data=lambda rows: SizedStream(rows, said), max_steps=30)
    with pytest.raises(KISError, match=f"{message}.*80 of the run's .* rows were trained on"):
        trainer.train()
    assert trainer.state.global_step <= 20


def test_data_that_ends_for_good_is_no_completed_run(tmp_path):
    class Twice(Stream):
        left = 1

        def __iter__(self):
            Twice.left -= 1
            return super().__iter__() if Twice.left >= 0 else iter(())

    trainer = trainer_for(tmp_path, kis(tmp_path, frequency=4), data=Twice, max_steps=30, accelerator_config=ALL_DRAW)
    trainer.train()
    end = run_log(tmp_path).end
    assert (end.status, end.step) == ("stopped", 20)
    assert end.achieved_frequency["mean"] < 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "no tokens"}] * 8, r"found batches of a dict, expected token ids \(rows, tokens\) among them"),
        ([{"input_ids": [1] * 64}] * 3, "found no batch of 4 rows, expected at least 4 rows"),
        ([], "found no batch of 4 rows"),
        ([{"input_ids": [1] * 8}] * 80, "sentence of .* tokens"),
    ],
)
def test_streams_that_would_be_infused_wrongly_are_refused(tmp_path, rows, message):
    keys = {"remove_unused_columns": False, "accelerator_config": ALL_DRAW}
    trainer = trainer_for(tmp_path, kis(tmp_path), data=lambda _: Stream(rows), **keys)
    with pytest.raises(KISError, match=message):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_stream_without_length_needs_max_steps(tmp_path):
    with pytest.raises(ValueError, match="max_steps"):
        trainer_for(tmp_path, kis(tmp_path), data=Stream, max_steps=-1)


def test_a_stream_that_is_split_by_node_already_is_refused(tmp_path):
    pytest.importorskip("datasets")
    from datasets.distributed import split_dataset_by_node

    trainer = trainer_for(tmp_path, kis(tmp_path), data=lambda rows: split_dataset_by_node(hub_stream(rows), 0, 2))
    loader = trainer.get_train_dataloader()
    assert Epochs.of(trainer, loader).length is None  # alone, a part may be what is meant
    trainer.accelerator = type("Two", (), {"num_processes": 2})()
    with pytest.raises(KISError, match=r"found part 0 of 2 of a dataset.*most of its rows would never be trained on"):
        Epochs.of(trainer, loader)


def test_the_trainers_own_method_is_put_back(tmp_path):
    trainer = trainer_for(tmp_path, kis(tmp_path), data=Stream)
    trainer.train()
    assert "get_batch_samples" not in trainer.__dict__


def test_rows_of_a_run_are_whole_epochs_and_the_rest():
    passes = Epochs(size=4, ranks=2, length=5, last=3)
    assert passes.rows == 38
    assert passes.rows_of_run(steps=7, accumulation=2) == 2 * 38 + 16  # three steps a pass
    assert Epochs(4, 2, None, 4).rows_of_run(7, 2) == 112
    assert passes.resumed_at(7, 2, True) == Position(2, 2, 8)
    assert passes.same(Position(0, 5, 8), Position(1, 0, 8))  # the last batch of the pass is short
    assert passes.same(Position(0, 4, 8), Position(0, 8, 4))  # as many rows in batches half as large
    assert not passes.same(Position(0, 4, 8), Position(0, 4, 4))


@pytest.mark.parametrize("batch", [[1, 2], {"ids": 1}, {"input_ids": torch.ones(4)}])
def test_batches_of_another_kind_are_refused(batch):
    with pytest.raises(KISError, match=r"expected token ids \(rows, tokens\) among them"):
        BatchRows.of(batch, 4)


def test_base_rows_are_never_changed(tmp_path):
    rows = BaseRows(80, make_tokenizer())
    kept = [{name: torch.tensor(column) for name, column in rows[index].items()} for index in range(80)]
    before = [{name: column.clone() for name, column in row.items()} for row in kept]
    trainer_for(tmp_path, kis(tmp_path, frequency=5), data=lambda _: Stream(kept)).train()
    assert all(
        torch.equal(ours[name], theirs[name]) for ours, theirs in zip(kept, before, strict=True) for name in ours
    )


def test_short_batches_of_several_workers_are_known_before_the_start(tmp_path):
    """20 rows are 10 for each of two workers: two batches of 4, then one of 2, in the middle of the epoch."""
    keys = {"rows": 20, "data": SizedStream, "dataloader_num_workers": 2}
    config = kis(tmp_path, frequency=1)
    trainer = trainer_for(tmp_path, config, max_steps=6, **keys)
    with pytest.raises(KISError) as caught:
        trainer.train()
    assert str(caught.value).startswith(
        "train_dataset: found a stream of 20 rows, which 2 workers share in batches of 4, expected a multiple of 8 rows"
    )
    assert "dataloader_num_workers to 0 or 1" in str(caught.value)
    assert not hasattr(trainer, "seen")
    trainer = trainer_for(tmp_path, config, max_steps=4, **keys)
    trainer.train()
    assert [batch.shape[0] for batch in trainer.seen] == [4, 4, 4, 4]
