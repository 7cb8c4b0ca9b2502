"""Runs as users have them: moved checkpoints, samplers and collators of their own, several GPUs in one process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from time import sleep

import pytest
import torch
import yaml
from torch.utils.data import BatchSampler, DataLoader, RandomSampler
from transformers import TrainerCallback

from kis_hf import KnowledgeInfusion
from kis_plugin.errors import KISError
from kis_plugin.run.log import read_run_log
from kis_torch.watch import watch_batches
from tests.kis_hf.test_row_shapes import RaggedRows, assert_exact
from tests.world.data import BaseRows, Stream
from tests.world.facts import kis
from tests.world.models import make_model
from tests.world.runs import StopAt, WatchedTrainer, shown, trainer_for
from tests.world.tokenizers import make_tokenizer


def run_log(folder):
    (path,) = (folder / "runs").glob("*/kis.jsonl")
    return read_run_log(path)


def test_a_resume_without_its_log_starts_a_readable_one(tmp_path, capsys):
    config, tokenizer, keys = kis(tmp_path), make_tokenizer(), {"save_strategy": "steps", "save_steps": 3}
    first = trainer_for(tmp_path, config, tokenizer=tokenizer, callbacks=[StopAt(7)], **keys)
    first.train()
    (tmp_path / "runs").rename(tmp_path / "left behind")
    (tmp_path / "out" / "checkpoint-7").rename(tmp_path / "elsewhere")
    second = trainer_for(tmp_path, config, tokenizer=tokenizer, **keys)
    second.train(resume_from_checkpoint=str(tmp_path / "elsewhere"))
    assert set(shown([*first.seen, *second.seen], config, tokenizer).values()) == {3}
    log = run_log(tmp_path)
    assert log.run.frequency == 3
    assert (log.end.status, log.end.extra["counted_from_step"]) == ("completed", 7)
    assert "as planned" not in capsys.readouterr().err  # what was shown before is not known, and was said


class Backwards(BatchSampler):
    """A batch sampler with an order of its own."""

    def __iter__(self):
        return (batch[::-1] for batch in super().__iter__())


class Lengths:
    """One that is no subclass of torch's, and has no sampler."""

    batch_size, drop_last = 4, False

    def __init__(self, sampler, *_):
        self.rows = len(sampler)

    def __iter__(self):
        order = torch.randperm(self.rows).tolist()
        return iter([order[at : at + 4] for at in range(0, self.rows, 4)])

    def __len__(self):
        return -(-self.rows // 4)


@pytest.mark.parametrize("batches", [Backwards, Lengths])
@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("rows", [80, 78])
def test_a_batch_sampler_of_ones_own_is_exact_in_any_order(tmp_path, batches, prepared, rows):
    class Own(WatchedTrainer):
        def get_train_dataloader(self):
            sampler = batches(RandomSampler(self.train_dataset), 4, False)
            loader = DataLoader(self.train_dataset, batch_sampler=sampler, collate_fn=self.data_collator)
            return self.accelerator.prepare(loader) if prepared else loader

    config, tokenizer = kis(tmp_path, frequency=5), make_tokenizer()
    trainer = trainer_for(tmp_path, config, rows=rows, tokenizer=tokenizer, max_steps=-1, num_train_epochs=2)
    trainer.__class__ = Own
    trainer.train()
    assert sum(len(batch) for batch in trainer.seen) == 2 * rows
    assert set(shown(trainer.seen, config, tokenizer).values()) == {5}
    log = run_log(tmp_path)
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    assert log.run.tokens == 2 * rows * 64


def test_a_batch_sampler_of_ones_own_resumes_with_batches_of_its_size_only(tmp_path):
    class Own(WatchedTrainer):
        def get_train_dataloader(self):
            size = self.args.per_device_train_batch_size
            sampler = Backwards(RandomSampler(self.train_dataset), size, False)
            return self.accelerator.prepare(
                DataLoader(self.train_dataset, batch_sampler=sampler, collate_fn=self.data_collator)
            )

    keys = {"save_strategy": "steps", "save_steps": 1000, "max_steps": 12}
    first = trainer_for(tmp_path, kis(tmp_path), callbacks=[StopAt(7)], gradient_accumulation_steps=2, **keys)
    first.__class__ = Own
    first.train()
    second = trainer_for(tmp_path, kis(tmp_path), per_device_train_batch_size=8, **keys)
    second.__class__ = Own
    with pytest.raises(KISError, match="resume at step 7: rows_per_batch: found 8, expected 4 as before"):
        second.train(resume_from_checkpoint=True)


def test_rows_that_arrive_changed_stop_the_run(tmp_path):
    trainer = trainer_for(tmp_path, kis(tmp_path))
    collate = trainer.data_collator
    trainer.data_collator = lambda rows: {name: values.flip(1) for name, values in collate(rows).items()}
    with pytest.raises(KISError, match=r"\d of the first \d infused rows not in what the model was given"):
        trainer.train()
    assert trainer.state.global_step < 20


def without_labels(batch):
    """As a collator that takes the loss of a row's end alone makes it."""
    labels = batch["labels"].clone()
    labels[:, :40] = -100
    return {**batch, "labels": labels}


def masked(batch):
    """As for masked language models."""
    ids = batch["input_ids"].clone()
    ids[:, 1::3] = 3
    return {**batch, "input_ids": ids}


def cut(batch):
    return {name: column[:, 5:] for name, column in batch.items()}


@pytest.mark.parametrize("data", [lambda rows: rows, Stream])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_labels, r"labels of infused row \d+ of the run: found \[-100, -100, .*\] from token 0 .*expected \["),
        (masked, r"infused rows not in what the model was given, but such rows as"),
        (cut, r"infused rows not in what the model was given"),
    ],
)
def test_what_the_model_does_not_get_stops_the_run_at_once(tmp_path, change, message, data):
    class Changing(WatchedTrainer):
        """Changes batches on their way from the loader to the model."""

        def _prepare_inputs(self, inputs):
            return change(super()._prepare_inputs(inputs))

    trainer = trainer_for(tmp_path, kis(tmp_path), data=data)
    trainer.__class__ = Changing
    with pytest.raises(KISError, match=message):
        trainer.train()
    assert trainer.state.global_step < 12


class OfEmbeddings(torch.nn.Module):
    """Trains a model on embeddings, as multimodal models do."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids=None, labels=None, inputs_embeds=None, attention_mask=None):
        return self.model(input_ids=input_ids, inputs_embeds=inputs_embeds, labels=labels)


def test_a_model_that_is_given_embeddings_stops_the_run_at_once(tmp_path):
    class Embedding(WatchedTrainer):
        def compute_loss(self, model, inputs, *args, **keys):
            ids = inputs.pop("input_ids")
            return model(inputs_embeds=model.model.get_input_embeddings()(ids), **inputs).loss

    trainer = trainer_for(tmp_path, kis(tmp_path, frequency=5))
    trainer.model = trainer.model_wrapped = OfEmbeddings(trainer.model)
    trainer.__class__ = Embedding
    with pytest.raises(KISError, match="infused rows not in what the model was given, but no batch"):
        trainer.train()
    assert trainer.state.global_step < 12


class OfTheLossAlone(torch.nn.Module):
    """A model that the Trainer trains, and that KIS cannot ask anything."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Embedding(600, 4)

    def forward(self, input_ids, labels=None):
        return {"loss": self.weight(input_ids).sum()}


@pytest.mark.parametrize("data", [lambda rows: rows, Stream])
def test_a_model_without_logits_is_refused_before_a_log_begins(tmp_path, data):
    trainer = trainer_for(tmp_path, kis(tmp_path), data=data)
    trainer.model = trainer.model_wrapped = OfTheLossAlone()
    with pytest.raises(KISError, match=r"model: found .*expected next-token logits \(rows, tokens, V\)"):
        trainer.train()
    assert trainer.state.global_step == 0
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("data", [lambda rows: rows, Stream])
def test_a_second_callback_is_refused_by_name(tmp_path, data):
    tokenizer = make_tokenizer()
    other = KnowledgeInfusion(kis(tmp_path / "other", frequency=2), tokenizer=tokenizer)
    trainer = trainer_for(tmp_path, kis(tmp_path), tokenizer=tokenizer, callbacks=[other], data=data)
    with pytest.raises(KISError, match=r"callbacks: found 2 of KnowledgeInfusion, expected one\. One run has one plan"):
        trainer.train()
    assert trainer.state.global_step == 0
    assert not list(tmp_path.rglob("kis.jsonl"))


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([f"<extra {number}>" for number in range(600 - len(tokenizer))])
    with pytest.raises(KISError, match=r"tokenizer: found 600 token ids in the tokenizer, expected at most the 500"):
        trainer_for(tmp_path, kis(tmp_path), tokenizer=tokenizer).train()
    assert not list(tmp_path.rglob("kis.jsonl"))


def test_a_resume_with_another_amount_is_refused_in_the_words_of_the_configuration(tmp_path):
    path, keys = tmp_path / "kis.yaml", {"save_strategy": "steps", "save_steps": 1000}
    for frequency in (16, 8):
        (tmp_path / "kis.yaml").write_text(yaml.safe_dump(kis(tmp_path, frequency)))
        callbacks = [StopAt(7), KnowledgeInfusion(path, tokenizer=make_tokenizer())]
        trainer = trainer_for(tmp_path, None, rows=400, callbacks=callbacks, max_steps=100, **keys)
        if frequency == 16:
            trainer.train()
    expected = r"^resume at step 7: infusion\.frequency: 8 in kis\.yaml, 16 in the checkpoint\. Give the run what"
    with pytest.raises(KISError, match=expected):
        trainer.train(resume_from_checkpoint=True)


class KilledInSave(TrainerCallback):
    """Ends training once a checkpoint is whole, before KIS is called, as a kill would."""

    def on_save(self, args, state, control, **kwargs):
        raise KeyboardInterrupt


@pytest.mark.parametrize("saves", ["steps", "epoch", "best"])
def test_a_kill_between_the_checkpoint_and_its_counts_loses_none(tmp_path, saves):
    config, tokenizer, seen = kis(tmp_path), make_tokenizer(), []
    keys = {"save_strategy": saves, "save_steps": 7, "max_steps": 30}
    if saves == "best":
        keys |= {"metric_for_best_model": "loss", "eval_strategy": "steps", "eval_steps": 7}
    for killed in (True, False):
        trainer = trainer_for(
            tmp_path, config, tokenizer=tokenizer, rows=28, eval_dataset=BaseRows(8, tokenizer), **keys
        )
        if killed:
            trainer.callback_handler.callbacks.insert(1, KilledInSave())  # after those that say when to save
            with pytest.raises(KeyboardInterrupt):
                trainer.train()
        else:
            trainer.train(resume_from_checkpoint=True)
        seen += trainer.seen
    assert len(seen) == 30
    assert set(shown(seen, config, tokenizer).values()) == {3}
    end = run_log(tmp_path).end
    assert end.achieved_frequency == {"min": 3, "max": 3, "mean": 3}
    assert (end.extra["starts"], end.extra["miscounted"]) == (2, 0)
    assert "counted_from_step" not in end.extra


class OutOfMemoryOnce(WatchedTrainer):
    """Runs out of memory in its third step unless batches are small."""

    def training_step(self, model, inputs, *args, **keys):
        if self.state.global_step == 2 and len(inputs["input_ids"]) > 4:
            raise RuntimeError("CUDA out of memory.")
        return super().training_step(model, inputs, *args, **keys)


def test_a_retry_counts_what_the_weights_have_seen(tmp_path, capsys):
    config, tokenizer = kis(tmp_path, frequency=2), make_tokenizer()
    keys = {"auto_find_batch_size": True, "per_device_train_batch_size": 8, "max_steps": 10}
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer, **keys)
    trainer.__class__ = OutOfMemoryOnce
    trainer.train()
    counts = shown(trainer.seen, config, tokenizer)
    assert max(counts.values()) > 2
    log = max((read_run_log(path) for path in (tmp_path / "runs").glob("*/kis.jsonl")), key=lambda log: bool(log.end))
    assert log.end.extra["starts"] > 1
    assert log.end.achieved_frequency["max"] == max(counts.values())
    assert log.end.extra["miscounted"] == sum(count != 2 for count in counts.values())
    assert "the weights were trained with infused rows before" in capsys.readouterr().err


def test_a_second_training_of_the_same_weights_counts_both(tmp_path):
    config, tokenizer = kis(tmp_path, frequency=2), make_tokenizer()
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer, max_steps=10)
    trainer.train()
    trainer.train()
    ends = sorted((read_run_log(path).end for path in (tmp_path / "runs").glob("*/kis.jsonl")), key=str)
    assert sorted(end.achieved_frequency["max"] for end in ends) == [2, 4]
    assert sorted(end.extra["miscounted"] > 0 for end in ends) == [False, True]


def test_counts_are_whole_once_batches_are_drained():
    model, counted = make_model(), []
    drain, stop = watch_batches(model, lambda ids: counted.append(ids.tolist()))
    batches = [torch.full((1, 4), number) for number in range(3)]
    for batch in batches:
        model(input_ids=batch)
        batch.fill_(9)  # the host may use its buffers again
    drain()
    assert counted == [[[number] * 4] for number in range(3)]
    stop()
    model(input_ids=batches[0])
    stop()
    assert len(counted) == 3


def test_threads_bring_their_batches_one_after_the_other():
    model, counted, busy = make_model(), [], Lock()

    def seen(ids):
        assert busy.acquire(blocking=False), "two threads count at once"
        sleep(1e-4)
        counted.append(int(ids[0, 0]))
        busy.release()

    _, stop = watch_batches(model, seen)
    (hook,) = model._forward_pre_hooks.values()
    with ThreadPoolExecutor(4) as pool:  # as DataParallel has them
        list(pool.map(lambda number: hook(model, (), {"input_ids": torch.full((1, 4), number)}), range(200)))
    stop()
    assert sorted(counted) == list(range(200))


@pytest.mark.parametrize("data", [lambda rows: rows, Stream])
def test_rows_of_one_length_that_a_collator_joins_are_exact(tmp_path, data):
    from transformers import DataCollatorWithFlattening

    config, tokenizer = kis(tmp_path, frequency=4), make_tokenizer()
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer, data=data)
    trainer.data_collator = DataCollatorWithFlattening()
    trainer.train()
    assert {batch.shape for batch in trainer.seen} == {(1, 256)}
    assert set(shown([batch.reshape(-1, 64) for batch in trainer.seen], config, tokenizer).values()) == {4}
    assert run_log(tmp_path).end.achieved_frequency == {"min": 4, "max": 4, "mean": 4}


@pytest.mark.parametrize("data", [lambda rows: rows, Stream])
def test_rows_of_any_length_that_a_collator_joins_are_exact(tmp_path, data):
    from transformers import DataCollatorWithFlattening

    config, tokenizer = kis(tmp_path, frequency=3), make_tokenizer()
    rows = RaggedRows(240, tokenizer, 20)
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer, max_steps=60, data=lambda _: data(rows))
    trainer.data_collator = DataCollatorWithFlattening()
    trainer.train()
    assert {batch.shape[0] for batch in trainer.seen} == {1}
    assert_exact(trainer, tmp_path, config, tokenizer)
