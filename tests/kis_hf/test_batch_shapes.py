"""Batches as hosts really have them: the contract is what the training step takes, not the dataset."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from tests.kis_hf.test_row_shapes import RaggedRows, assert_exact, pad_longest
from tests.world.data import BareRows, BaseRows, Stream
from tests.world.facts import WORDS, kis
from tests.world.logs import log_of
from tests.world.runs import shown, trainer_for
from tests.world.tokenizers import make_tokenizer


def bare(examples):
    return {"input_ids": torch.stack(examples), "labels": torch.stack(examples)}


class Pairs(BareRows):
    def __getitem__(self, index):
        ids = super().__getitem__(index)
        return ids, ids.clone()


class Named(BareRows):
    def __getitem__(self, index):
        ids = super().__getitem__(index)
        return {"tokens": ids, "targets": ids.clone()}


class Texts(BaseRows):
    def __getitem__(self, index):
        return {"text": " ".join(WORDS[(index + at) % len(WORDS)] for at in range(60))}


class Loader:
    """A loader of the user's own, that torch knows nothing of."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(DataLoader(self.rows, batch_size=4))


def ids_of(inputs):
    if isinstance(inputs, torch.Tensor):
        return inputs
    return inputs[0] if isinstance(inputs, (tuple, list)) else inputs[next(iter(inputs))]


def own_loss(trainer, labels_too):
    """Take the loss as a user with batches of this form would; keep what the model and the loss were given."""
    trainer.given = []

    def compute_loss(model, inputs, *args, **keys):
        ids = ids_of(inputs)
        labels = ids if not labels_too else (inputs[1] if isinstance(inputs, (tuple, list)) else inputs["targets"])
        if model.training:
            trainer.given.append((ids.numpy().copy(), labels.numpy().copy()))
        return model(input_ids=ids, labels=labels).loss

    trainer.compute_loss = compute_loss


@pytest.mark.parametrize(
    ("data", "labels", "collate"),
    [
        (BareRows, False, bare),
        (Pairs, True, torch.utils.data.default_collate),
        (Named, True, torch.utils.data.default_collate),
    ],
    ids=["bare ids", "tuples", "other names"],
)
def test_examples_of_any_form_are_infused_exactly(tmp_path, data, labels, collate):
    config, tokenizer = kis(tmp_path), make_tokenizer()
    trainer = trainer_for(
        tmp_path, config, tokenizer=tokenizer, data=lambda rows: data(80, tokenizer), remove_unused_columns=False
    )
    trainer.data_collator = collate
    own_loss(trainer, labels)
    trainer.train()
    assert set(shown([ids for ids, _ in trainer.given], config, tokenizer).values()) == {3}
    assert all((ids == targets).all() for ids, targets in trainer.given)
    assert log_of(tmp_path).end.achieved_frequency == {"min": 3, "max": 3, "mean": 3}


def test_text_that_a_collator_tokenizes_is_infused_exactly(tmp_path):
    config, tokenizer = kis(tmp_path), make_tokenizer()

    def collate(examples):
        ids = tokenizer([one["text"] for one in examples], return_tensors="pt", truncation=True, max_length=64)
        return {**ids, "labels": ids["input_ids"].clone()}

    trainer = trainer_for(
        tmp_path, config, tokenizer=tokenizer, data=lambda rows: Texts(80, tokenizer), remove_unused_columns=False
    )
    trainer.data_collator = collate
    trainer.train()
    assert_exact(trainer, tmp_path, config, tokenizer)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_stream_that_is_padded_to_its_longest_row_is_exact(tmp_path, side):
    config, tokenizer = kis(tmp_path), make_tokenizer()
    trainer = trainer_for(
        tmp_path, config, tokenizer=tokenizer, max_steps=60, data=lambda rows: Stream(RaggedRows(240, tokenizer, 20))
    )
    trainer.data_collator = pad_longest(side)
    trainer.train()
    assert_exact(trainer, tmp_path, config, tokenizer)


def test_a_stream_whose_rows_become_short_says_what_it_lacks(tmp_path, capsys):
    config, tokenizer = kis(tmp_path), make_tokenizer()
    rows = RaggedRows(240, tokenizer)
    rows.lengths[:4], rows.lengths[4:] = [60, 64, 50, 62], 20  # the first step shows other rows than those that follow
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer, max_steps=60, data=lambda _: Stream(rows))
    trainer.data_collator = pad_longest()
    trainer.train()
    end = log_of(tmp_path).end
    assert (end.status, end.extra["miscounted"]) == ("completed", 20)
    assert end.achieved_frequency["max"] < end.extra["requested_frequency"]["min"] == 3
    assert "20 of 20 sentences did not reach the model as often as planned" in capsys.readouterr().err


def test_a_loader_of_ones_own_is_exact(tmp_path):
    config, tokenizer = kis(tmp_path), make_tokenizer()
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer)
    rows = [{name: torch.tensor(column) for name, column in row.items()} for row in BaseRows(80, tokenizer)]
    trainer.get_train_dataloader = lambda: Loader(rows)
    trainer.train()
    assert_exact(trainer, tmp_path, config, tokenizer)


@pytest.mark.parametrize("form", ["floats", "nothing"])
def test_no_batch_is_refused_where_nothing_is_infused(tmp_path, form):
    tokenizer = make_tokenizer()
    trainer = trainer_for(
        tmp_path, kis(tmp_path, 0), tokenizer=tokenizer, max_steps=3, data=lambda rows: BareRows(80, tokenizer)
    )
    trainer.data_collator = lambda rows: {"values": torch.stack(rows).float()} if form == "floats" else {"n": 3}
    trainer.compute_loss = lambda model, inputs, *args, **keys: model.lm_head.weight.sum()
    trainer.args.remove_unused_columns = False
    trainer.train()
    assert log_of(tmp_path).end.status == "completed"
