"""``skip_known`` in a Trainer: what a real model knows is found, left out of the infusion and not probed again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from kis_plugin.config.load import config_from
from kis_plugin.errors import KISError
from kis_plugin.retention.prior_knowledge import known_facts
from kis_plugin.run.context import TrainingRun
from kis_plugin.run.log import read_run_log
from kis_plugin.tokenized.infusion_split import load_split
from kis_plugin.tokenized.tokenizer import HFTokenizer, render
from kis_torch.model_view import TorchModelView
from tests.world.data import SEQUENCE_LENGTH
from tests.world.facts import kis
from tests.world.models import EOS
from tests.world.runs import StopAt, shown, trainer_for
from tests.world.tokenizers import make_tokenizer

STEPS = 100


def small_model(seed=0, spread=0.2):
    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=500, n_positions=SEQUENCE_LENGTH, n_embd=32, n_layer=1, n_head=4, bos_token_id=EOS,
            eos_token_id=EOS, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, initializer_range=spread,
        )
    )  # fmt: skip


def teach(model, facts, templates, tokenizer):
    """Train a few steps on the objects of some facts, in all statements."""
    pairs = [(statement, fact) for fact in facts for statement in templates.statements]
    encoded = HFTokenizer(tokenizer).encode([render(statement, fact) for statement, fact in pairs])
    width = 1 + max(len(text.ids) for text in encoded)
    ids = torch.full((len(pairs), width), EOS)
    labels = torch.full((len(pairs), width), -100)
    for row, ((statement, fact), text) in enumerate(zip(pairs, encoded, strict=True)):
        first = len(statement.split("{object}")[0].replace("{subject}", fact.subject))
        ids[row, 1 : 1 + len(text.ids)] = torch.tensor(text.ids)
        labels[row, 1 : 1 + len(text.ids)] = torch.tensor(
            [token if end > first else -100 for token, end in zip(text.ids, text.ends, strict=True)]
        )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def run_of(config, tokenizer, model):
    return TrainingRun(
        config=config_from(config), tokenizer=HFTokenizer(tokenizer), model=TorchModelView(model), framework="hf",
        run_id="r", folder=Path("r"), params=1, params_non_embedding=1, rows=100,
        sequence_length=SEQUENCE_LENGTH, steps=10,
    )  # fmt: skip


@pytest.fixture(scope="module")
def half_taught(tmp_path_factory):
    """A configuration, its tokenizer, a model that was taught half of the facts in all statements, and which."""
    folder = tmp_path_factory.mktemp("known")
    config, tokenizer = kis(folder, frequency=3, infusion={"skip_known": True}), make_tokenizer()
    split = load_split(config_from(config))
    facts = [split.knowledge.facts[index] for index in split.infused.tolist()[::2]]
    model = small_model()
    teach(model, facts, split.book.of("P19"), tokenizer)
    return config, tokenizer, model.state_dict(), {fact.subject for fact in facts}


def fresh(half_taught):
    config, tokenizer, weights, subjects = half_taught
    model = small_model()
    model.load_state_dict(weights)
    return config, tokenizer, model, subjects


def test_what_was_taught_is_known_and_little_else(half_taught):
    config, tokenizer, model, subjects = fresh(half_taught)
    run = run_of(config, tokenizer, model)
    split = load_split(run.config)
    mask = known_facts(run, split, split.infused)
    found = {split.knowledge.facts[index].subject for index in split.infused[mask].tolist()}
    assert len(found & subjects) >= 0.8 * len(subjects)
    assert len(found - subjects) <= 0.2 * len(subjects)


def people(count):
    """Facts whose names tell nothing of each other, as Person7 and Town7 would."""
    draw = np.random.default_rng(0)
    syllables = ["ka", "to", "mi", "ren", "sol", "va", "dor", "li", "ne", "pu", "sha", "gra", "bel", "ix", "om", "ty"]
    names = ["".join(draw.choice(syllables, 3)).capitalize() for _ in range(2 * count + 40)]
    return [
        {"subject": f"{names[n]} {names[count + n]}", "relation": "P19", "object": names[2 * count + n % 40]}
        for n in range(count)
    ]


@pytest.mark.parametrize("spread", [0.02, 0.2])
def test_a_fresh_model_is_found_to_know_no_more_than_chance(tmp_path, spread):
    """Chance is (1/4)^4 where templates tell nothing of each other; by right answers alone it would be 0.1 to 0.2."""
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in people(400)))
    tokenizer, model = make_tokenizer(), small_model(1, spread)
    run = run_of(kis(tmp_path), tokenizer, model)
    split = load_split(run.config)
    assert len(split.book.of("P19").statements) == 4
    assert known_facts(run, split, split.infused).mean() <= 4 * (1 / 4) ** 4


def log_of(folder):
    (path,) = (folder / "runs").glob("*/kis.jsonl")
    return path.parent, read_run_log(path)


def trained(half_taught, tmp_path, callbacks=(), resume=False, **keys):
    config, tokenizer, model, subjects = fresh(half_taught)
    config = {**config, "run_log": str(tmp_path / "runs"), **keys}
    options = {"max_steps": 20, "save_strategy": "steps", "save_steps": 1000, "learning_rate": 1e-5}
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer, callbacks=callbacks, **options)
    trainer.model = trainer.model_wrapped = model
    trainer.train(resume_from_checkpoint=resume)
    return config, tokenizer, trainer


def test_known_facts_are_held_back_through_a_resume(half_taught, tmp_path):
    config, tokenizer, first = trained(half_taught, tmp_path, [StopAt(7)])
    folder, _ = log_of(tmp_path)
    kept = (folder / "known.npz").read_bytes()
    *_, second = trained(half_taught, tmp_path, resume=True)
    _, log = log_of(tmp_path)

    with np.load(folder / "known.npz") as file:
        mask = np.unpackbits(file["known"], count=int(file["facts"])).astype(bool)
    assert 0 < mask.sum() < len(mask)
    split = load_split(config_from(config))
    known = {split.knowledge.facts[index].subject for index in split.infused[mask].tolist()}
    counts = shown([*first.seen, *second.seen], config, tokenizer)
    assert {counts[subject] for subject in known} == {0}
    assert {count for subject, count in counts.items() if subject not in known} == {3}
    assert (folder / "known.npz").read_bytes() == kept
    series = {record.probe: record.n for record in log.retention}
    assert series["known"] <= mask.sum()
    assert series["held_out"] <= (~mask).sum()
    at_start = [record for record in log.retention if record.step == 0]
    assert {record.probe for record in at_start} == {"held_out", "seen", "control", "known", "above_control"}
    assert next(record.accuracy for record in at_start if record.probe == "known") == 1.0
    assert [record.step for record in log.retention if record.probe == "known"] == [0, 10, 20]


def test_known_frequency_shows_known_facts_so_often(half_taught, tmp_path):
    infusion = {"frequency": 4, "skip_known": True, "known_frequency": 1}
    config, tokenizer, trainer = trained(half_taught, tmp_path, infusion=infusion)
    counts = shown(trainer.seen, config, tokenizer)
    folder, _ = log_of(tmp_path)
    with np.load(folder / "known.npz") as file:
        known = int(np.unpackbits(file["known"], count=int(file["facts"])).sum())
    assert sorted(counts.values()) == [1] * known + [4] * (len(counts) - known)


def test_a_resume_without_what_was_known_is_refused(half_taught, tmp_path):
    trained(half_taught, tmp_path, [StopAt(7)])
    folder, _ = log_of(tmp_path)
    (folder / "known.npz").unlink()
    with pytest.raises(KISError, match=r"resume at step 7: .*known\.npz: found no file"):
        trained(half_taught, tmp_path, resume=True)


def test_a_run_that_is_refused_leaves_nothing_behind(half_taught, tmp_path):
    infusion = {"frequency": 10_000, "skip_known": True}
    with pytest.raises(KISError):
        trained(half_taught, tmp_path, infusion=infusion)
    assert not (tmp_path / "runs").exists()
