"""Every fact is shown exactly F times, counted in the batches that reached the model."""

from __future__ import annotations

import json

import pytest
from transformers import DataCollatorForLanguageModeling

from kis_plugin.errors import KISError
from kis_plugin.run.log import read_run_log
from tests.world.facts import kis
from tests.world.runs import StopAt, controls_shown, shown, trainer_for
from tests.world.tokenizers import make_tokenizer


def run_log(folder):
    (path,) = (folder / "runs").glob("*/kis.jsonl")
    return read_run_log(path)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"dataloader_num_workers": 2},
        {"dataloader_num_workers": 2, "dataloader_persistent_workers": True, "max_steps": 40},
        {"train_sampling_strategy": "sequential"},
        {"gradient_accumulation_steps": 3, "max_steps": 12},
        {"max_steps": -1, "num_train_epochs": 2},
        {"max_steps": 45},  # two whole epochs of 20 steps and a quarter
        {"max_steps": -1, "num_train_epochs": 3, "rows": 79, "gradient_accumulation_steps": 3},
        {"max_steps": -1, "num_train_epochs": 2, "rows": 79, "dataloader_drop_last": True},
    ],
    ids=lambda keys: ",".join(f"{key}={value}" for key, value in keys.items()) or "plain",
)
def test_every_fact_is_shown_exactly_f_times(tmp_path, keys):
    config, tokenizer = kis(tmp_path, frequency=5), make_tokenizer()
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer, **keys)
    trainer.train()
    counts = shown(trainer.seen, config, tokenizer)
    assert len(counts) == 20
    assert set(counts.values()) == {5}
    assert controls_shown(trainer.seen, config, tokenizer) == 0
    assert run_log(tmp_path).end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cut", [7, 20, 26])  # inside the first epoch, at its end, inside the second
def test_a_resumed_run_shows_the_same_rows_as_an_unbroken_one(tmp_path, workers, cut):
    config, tokenizer = kis(tmp_path, frequency=6), make_tokenizer()
    keys = {"max_steps": 36, "dataloader_num_workers": workers, "save_strategy": "steps", "save_steps": 1000}
    whole = trainer_for(tmp_path / "whole", config, tokenizer=tokenizer, **keys)
    whole.train()
    (unbroken,) = (tmp_path / "runs").glob("*/kis.jsonl")

    first = trainer_for(tmp_path, config, tokenizer=tokenizer, callbacks=[StopAt(cut)], **keys)
    first.train()
    second = trainer_for(tmp_path, config, tokenizer=tokenizer, **keys)
    second.train(resume_from_checkpoint=True)

    seen = [*first.seen, *second.seen]
    assert [batch.tolist() for batch in seen] == [batch.tolist() for batch in whole.seen]
    assert set(shown(seen, config, tokenizer).values()) == {6}
    (resumed,) = set((tmp_path / "runs").glob("*/kis.jsonl")) - {unbroken}
    log = read_run_log(resumed)
    assert log.end.status == "completed"
    assert log.end.achieved_frequency == {"min": 6, "max": 6, "mean": 6}
    assert [record.step for record in log.retention if record.probe == "held_out"] == [0, 18, 36]


def test_a_resume_that_would_lose_rows_is_refused(tmp_path):
    config, keys = kis(tmp_path), {"save_strategy": "steps", "save_steps": 1000}
    trainer_for(tmp_path, config, callbacks=[StopAt(7)], **keys).train()
    with pytest.raises(KISError, match="rows_per_step: found 8, expected 4 as before"):
        trainer_for(tmp_path, config, per_device_train_batch_size=8, **keys).train(resume_from_checkpoint=True)
    with pytest.raises(KISError, match="ignore_data_skip: found True"):
        trainer_for(tmp_path, config, ignore_data_skip=True, **keys).train(resume_from_checkpoint=True)


def test_a_checkpoint_without_kis_is_refused(tmp_path):
    keys = {"save_strategy": "steps", "save_steps": 1000}
    trainer_for(tmp_path, None, callbacks=[StopAt(7)], **keys).train()
    with pytest.raises(KISError, match="a checkpoint that was written without KIS"):
        trainer_for(tmp_path, kis(tmp_path), **keys).train(resume_from_checkpoint=True)
    assert not (tmp_path / "runs").exists()


def test_a_resume_may_restore_all_callbacks(tmp_path):
    config, tokenizer = kis(tmp_path), make_tokenizer()
    keys = {"save_strategy": "steps", "save_steps": 1000, "restore_callback_states_from_checkpoint": True}
    first = trainer_for(tmp_path, config, tokenizer=tokenizer, callbacks=[StopAt(7)], **keys)
    first.train()
    second = trainer_for(tmp_path, config, tokenizer=tokenizer, **keys)
    second.train(resume_from_checkpoint=True)
    assert set(shown([*first.seen, *second.seen], config, tokenizer).values()) == {3}


def test_two_trainings_of_one_trainer_are_two_runs(tmp_path):
    config, tokenizer = kis(tmp_path), make_tokenizer()
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer)
    trainer.train()
    trainer.train()
    assert set(shown(trainer.seen, config, tokenizer).values()) == {6}
    assert len(list((tmp_path / "runs").glob("*/kis.jsonl"))) == 2


def test_the_explicit_way_infuses_one_pass(tmp_path):
    from kis_hf import KnowledgeInfusion
    from tests.world.data import BaseRows

    config, tokenizer = kis(tmp_path, frequency=4), make_tokenizer()
    infused = KnowledgeInfusion(config, tokenizer=tokenizer).infuse(BaseRows(80, tokenizer))
    import numpy as np

    batch = np.array([infused[index]["input_ids"] for index in range(len(infused))])
    assert set(shown([batch], config, tokenizer).values()) == {4}


def test_the_log_is_json_lines_with_what_the_predictor_needs(tmp_path):
    trainer_for(tmp_path, kis(tmp_path)).train()
    (path,) = (tmp_path / "runs").glob("*/kis.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [lines[0]["type"], lines[-1]["type"]] == ["run", "end"]
    run = lines[0]
    assert run["params"] == sum(p.numel() for p in trainer_for(tmp_path, None).model.parameters())
    assert (run["tokens"], run["frequency"], run["facts"], run["options"]) == (20 * 4 * 64, 3.0, 20, 4)


@pytest.mark.parametrize("kind", ["lists", "torch"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_hub_dataset_with_the_usual_collator(tmp_path, kind, workers):
    datasets = pytest.importorskip("datasets")
    from transformers import DataCollatorForLanguageModeling

    from tests.world.data import BaseRows

    config, tokenizer = kis(tmp_path, frequency=4), make_tokenizer()
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer, dataloader_num_workers=workers)
    rows = datasets.Dataset.from_list([{"input_ids": row["input_ids"]} for row in BaseRows(80, tokenizer)])
    trainer.train_dataset = rows.with_format("torch") if kind == "torch" else rows
    trainer.data_collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    trainer.train()
    assert set(shown(trainer.seen, config, tokenizer).values()) == {4}


def test_documents_are_shown_exactly_f_times_too(tmp_path):
    from tests.world.models import EOS

    texts = [f"Notice {n}: the {word} of Town{n} is kept by Person{n}." for n, word in enumerate("abcdefghijklmnop")]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps({"text": " ".join([text] * 3)}) + "\n" for text in texts))
    tokenizer = make_tokenizer()
    config = kis(tmp_path, frequency=2) | {"knowledge": str(tmp_path / "notes.jsonl")}
    config["retention"] = {"every": 0.5, "control": 0}
    trainer = trainer_for(tmp_path, config, rows=200, tokenizer=tokenizer, max_steps=50)
    trainer.train()
    text = [tokenizer.decode(row.tolist()) for batch in trainer.seen for row in batch]
    assert {sum(row.count(sentence) for row in text) for sentence in texts} == {6}
    assert all(EOS in row for batch in trainer.seen for row in batch if "Notice" in tokenizer.decode(row.tolist()))
    log = run_log(tmp_path)
    assert log.end.achieved_frequency == {"min": 2, "max": 2, "mean": 2}
    assert log.run.facts == 16


@pytest.mark.parametrize("collator", ["usual", "for language models"])
@pytest.mark.parametrize("labels", [True, False])
def test_loss_is_taken_of_objects_alone_behind_any_collator(tmp_path, collator, labels):
    config, tokenizer = kis(tmp_path, frequency=3, infusion={"loss": "object"}), make_tokenizer()
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer)
    if collator != "usual":
        trainer.data_collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    elif not labels:
        pytest.skip("a loss needs labels from somewhere")
    if not labels:
        rows = trainer.train_dataset
        trainer.train_dataset = [{"input_ids": rows[n]["input_ids"]} for n in range(len(rows))]
    given = []
    loss = trainer.compute_loss

    def watched(model, inputs, *args, **kwargs):
        given.append((inputs["input_ids"].clone(), inputs["labels"].clone()))
        return loss(model, inputs, *args, **kwargs)

    trainer.compute_loss = watched
    trainer.train()
    assert set(shown(trainer.seen, config, tokenizer).values()) == {3}
    learned = "".join(
        tokenizer.decode(ids[(target != -100)].tolist())
        for ids, target in ((i, t) for batch in given for i, t in zip(*batch, strict=True))
        if (ids == 0).any()  # rows with infused sentences, which end with EOS
    )
    assert "Town" in learned
    assert "Person" not in learned
