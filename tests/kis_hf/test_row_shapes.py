"""Rows as hosts really have them: of different lengths, padded, packed by TRL, with columns and labels of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kis_plugin.config.load import config_from
from kis_plugin.errors import KISError
from kis_plugin.tokenized.infusion_split import load_split
from tests.world.data import BaseRows
from tests.world.facts import FACTS, kis, write_facts
from tests.world.logs import log_of
from tests.world.runs import StopAt, controls_shown, shown, text_of, trainer_for
from tests.world.tokenizers import make_tokenizer


class RaggedRows(BaseRows):
    """Rows of ``least`` to 64 tokens."""

    def __init__(self, count, tokenizer, least=8):
        super().__init__(count, tokenizer)
        self.lengths = np.random.default_rng(1).integers(least, 65, count)

    def __getitem__(self, index):
        ids = self.rows[index, : self.lengths[index]].tolist()
        return {"input_ids": ids, "labels": ids, "attention_mask": [1] * len(ids)}


def pad_longest(side="right"):
    def collate(examples):
        longest = max(len(one["input_ids"]) for one in examples)
        batch = {}
        for name, filled in (("input_ids", 0), ("labels", -100), ("attention_mask", 0)):
            rows = []
            for one in examples:
                padding = [filled] * (longest - len(one[name]))
                rows.append([*one[name], *padding] if side == "right" else [*padding, *one[name]])
            batch[name] = torch.tensor(rows)
        return batch

    return collate


def anywhere(batches, config, tokenizer):
    """How often each infused fact's sentences stand anywhere in rows: ended by EOS, but for those inside base text."""
    split = load_split(config_from(config))
    text = "\n".join(text_of(batches, tokenizer))
    end = "" if config["infusion"].get("placement") == "inline" else "<eos>"
    return {
        fact.subject: sum(
            text.count(template.format(subject=fact.subject, object=fact.object) + end)
            for template in split.book.of(fact.relation).trained
        )
        for fact in split.facts
    }


def assert_exact(trainer, folder, config, tokenizer, frequency=3):
    counts = anywhere(trainer.seen, config, tokenizer)
    assert set(counts.values()) == {frequency}
    assert controls_shown(trainer.seen, config, tokenizer) == 0
    log = log_of(folder)
    assert log.end.achieved_frequency == {"min": frequency, "max": frequency, "mean": frequency}
    assert log.end.extra["miscounted"] == 0
    return log


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("placement", ["rows", "inline"])
def test_rows_of_different_lengths_are_infused_exactly(tmp_path, side, placement):
    frequency = 1 if placement == "inline" else 3  # inline texts take half of a row at most
    config, tokenizer = kis(tmp_path, frequency, infusion={"placement": placement}), make_tokenizer()
    trainer = trainer_for(
        tmp_path,
        config,
        tokenizer=tokenizer,
        max_steps=60,
        data=lambda rows: RaggedRows(100, tokenizer, 56 if placement == "inline" else 8),
    )
    trainer.data_collator = pad_longest(side)
    trainer.train()
    log = assert_exact(trainer, tmp_path, config, tokenizer, frequency)
    assert (0 < log.run.extra["rows_with_room"] < 1) == (placement == "rows")
    assert all((batch[:, 0] != batch[:, -1]).any() for batch in trainer.seen)


def test_a_resume_among_rows_of_different_lengths_is_exact(tmp_path):
    tokenizer = make_tokenizer()
    batches = {}
    for name, parts in (("whole", [0]), ("parts", [37, 0])):
        folder = tmp_path / name
        config = kis(tmp_path, infusion={"frequency": 8}) | {"run_log": str(folder / "runs")}
        batches[name] = []
        for part, stop in enumerate(parts):
            trainer = trainer_for(
                folder, config, tokenizer=tokenizer, max_steps=80, data=lambda rows: RaggedRows(120, tokenizer),
                callbacks=[StopAt(stop)] if stop else [], save_strategy="steps", save_steps=1000,
            )  # fmt: skip
            trainer.data_collator = pad_longest()
            trainer.train(resume_from_checkpoint=bool(part))
            batches[name] += [batch.tolist() for batch in trainer.seen]
        assert log_of(folder).end.achieved_frequency == {"min": 8, "max": 8, "mean": 8}
    assert batches["whole"] == batches["parts"]


def test_more_than_the_long_rows_take_is_refused(tmp_path):
    tokenizer = make_tokenizer()
    trainer = trainer_for(
        tmp_path, kis(tmp_path, frequency=60), tokenizer=tokenizer, data=lambda rows: RaggedRows(80, tokenizer)
    )
    trainer.data_collator = pad_longest()
    with pytest.raises(KISError, match=r"train_dataset: found rows of 9 to 63 tokens: .*% have 63 tokens or more"):
        trainer.train()


@pytest.mark.parametrize("name", ["loss_weight", "seq_idx"])
def test_columns_with_a_value_for_each_token_are_kept(tmp_path, name):
    config, tokenizer, seen = kis(tmp_path), make_tokenizer(), []

    class Rows(BaseRows):
        def __getitem__(self, index):
            return {**super().__getitem__(index), name: [0] * 30 + [1] * 34}

    trainer = trainer_for(
        tmp_path, config, tokenizer=tokenizer, data=lambda rows: Rows(80, tokenizer), remove_unused_columns=False
    )
    plain = trainer.compute_loss

    def compute_loss(model, inputs, *args, **keys):
        column = inputs.pop(name)
        if model.training:
            seen.append((inputs["input_ids"].clone(), column))
        return plain(model, inputs, *args, **keys)

    trainer.compute_loss = compute_loss
    trainer.train()
    assert_exact(trainer, tmp_path, config, tokenizer)
    infused = 0
    for ids, column in seen:
        for row, values in zip(ids, column, strict=True):
            length = len(row) - row.tolist()[::-1].index(0) if 0 in row else 0  # infused texts end with EOS
            if not length:
                assert values.tolist() == [0] * 30 + [1] * 34
                continue
            infused += 1
            base = [0] * 30 + [1] * 34
            if name == "loss_weight":
                assert values.tolist() == [1] * length + base[: 64 - length]
            else:  # a document of its own, before those of the base row
                assert values.tolist() == [0] * length + [1 + one for one in base[: 64 - length]]
    assert infused


@pytest.mark.parametrize("mask", [False, True])
def test_labels_that_are_shifted_beforehand_stay_shifted(tmp_path, mask):
    config, tokenizer, seen = kis(tmp_path), make_tokenizer(), []

    class Shifted(BaseRows):
        def __getitem__(self, index):
            row = self.rows[index].tolist()
            labels = [*row[1:], row[0]]
            return {"input_ids": row, "labels": [-100 if mask and at < 5 else one for at, one in enumerate(labels)]}

    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer, data=lambda rows: Shifted(80, tokenizer))

    def compute_loss(model, inputs, *args, **keys):
        labels = inputs.pop("labels")
        if model.training:
            seen.append((inputs["input_ids"].clone(), labels))
        logits = model(**inputs).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())

    trainer.compute_loss = compute_loss
    trainer.train()
    ids = [batch.numpy() for batch, _ in seen]
    assert set(shown(ids, config, tokenizer).values()) == {3}
    infused = 0
    for batch, labels in seen:
        for row, targets in zip(batch.tolist(), labels.tolist(), strict=True):
            kept = [at for at in range(63) if targets[at] != -100]
            assert all(targets[at] == row[at + 1] for at in kept)
            assert len(kept) >= 58 - 5 * mask
            infused += 0 in row
    assert infused


def test_labels_of_neither_kind_are_refused_with_the_row(tmp_path):
    tokenizer = make_tokenizer()

    class Odd(BaseRows):
        def __getitem__(self, index):
            row = self.rows[index].tolist()
            return {"input_ids": row, "labels": row[::-1]}

    trainer = trainer_for(tmp_path, kis(tmp_path), tokenizer=tokenizer, data=lambda rows: Odd(80, tokenizer))
    with pytest.raises(
        KISError,
        match=r"found input_ids \[.*\] with labels \[.*or labels\[t\] = input_ids\[t \+ 1\]",
    ):
        trainer.train()


def test_eos_is_a_target_where_it_is_the_padding_token_too(tmp_path):
    from transformers import DataCollatorForLanguageModeling

    config, tokenizer, seen = kis(tmp_path), make_tokenizer(), []

    class Ids(BaseRows):
        def __getitem__(self, index):
            return {"input_ids": self.rows[index].tolist()}

    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer, data=lambda rows: Ids(80, tokenizer))
    trainer.data_collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    plain = trainer.compute_loss

    def compute_loss(model, inputs, *args, **keys):
        if model.training:
            seen.append((inputs["input_ids"].clone(), inputs["labels"].clone()))
        return plain(model, inputs, *args, **keys)

    trainer.compute_loss = compute_loss
    trainer.train()
    assert_exact(trainer, tmp_path, config, tokenizer)
    ends = [(ids == 0) for ids, _ in seen]
    assert sum(int(one.sum()) for one in ends) == 3 * (FACTS - 4)
    assert all((labels[end] == 0).all() for end, (_, labels) in zip(ends, seen, strict=True))


def test_nothing_is_refused_where_nothing_is_infused(tmp_path):
    write_facts(tmp_path)
    tokenizer = make_tokenizer()

    class Odd(RaggedRows):
        def __getitem__(self, index):
            row = super().__getitem__(index)
            return {**row, "labels": row["labels"][::-1]}

    trainer = trainer_for(tmp_path, kis(tmp_path, 0), tokenizer=tokenizer, data=lambda rows: Odd(80, tokenizer))
    trainer.data_collator = pad_longest()
    trainer.train()
    assert log_of(tmp_path).end.status == "completed"
