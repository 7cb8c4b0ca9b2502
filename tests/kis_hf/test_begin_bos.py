"""``begin: bos``: infused texts and probes begin with the tokenizer's BOS, and the counts stay exact."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from tokenizers.processors import TemplateProcessing

from kis_plugin.cli.main import main
from kis_plugin.config.load import config_from
from kis_plugin.errors import KISError
from kis_plugin.retention.general_text import excerpts
from kis_plugin.retention.saved_model import prober_of_config
from kis_plugin.run.log import read_run_log
from kis_plugin.tokenized.document_start import BeginningWithBos, decided_start, start_notes
from kis_plugin.tokenized.tokenizer import HFTokenizer
from tests.world import facts
from tests.world.data import BaseRows, Stream
from tests.world.facts import kis
from tests.world.loops import train
from tests.world.runs import StopAt, text_of, trainer_for
from tests.world.tokenizers import EOS, make_tokenizer

BOS = "<bos>"


def tokenizer_with_bos(adds: bool = True):
    """As of Llama: a BOS of its own, put before each text."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"bos_token": BOS})
    if adds:
        post = TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.bos_token_id)])
        tokenizer.backend_tokenizer.post_processor = post
    return tokenizer


def begun(texts: list[str]) -> list[str]:
    """Only what stands between BOS and EOS, so that a sentence without its BOS counts for nothing."""
    return [f"{part.split(EOS)[0]}{EOS}" for text in texts for part in text.split(BOS)[1:] if EOS in part]


def test_trainer_shows_each_text_with_bos_and_eos_exactly_f_times(tmp_path):
    config, tokenizer = kis(tmp_path, frequency=5) | {"begin": "bos"}, tokenizer_with_bos()
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer)
    trainer.train()
    counts = facts.shown(begun(text_of(trainer.seen, tokenizer)), config)
    assert len(counts) == 20
    assert set(counts.values()) == {5}
    (path,) = (tmp_path / "runs").glob("*/kis.jsonl")
    log = read_run_log(path)
    assert log.end.achieved_frequency == {"min": 5, "max": 5, "mean": 5}
    assert log.end.extra["miscounted"] == 0
    assert json.loads(path.read_text().splitlines()[0])["begin"] == "bos"


def test_kis_probe_of_the_run_begins_as_the_run_did(tmp_path):
    config, tokenizer = kis(tmp_path, frequency=5) | {"begin": "bos"}, tokenizer_with_bos()
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer)
    trainer.train()
    trainer.save_model(str(tmp_path / "model"))
    tokenizer.save_pretrained(tmp_path / "model")
    (path,) = (tmp_path / "runs").glob("*/kis.jsonl")
    last = next(one for one in reversed(read_run_log(path).retention) if one.probe == "held_out")
    (tmp_path / "kis.yaml").write_text(yaml.safe_dump(config))
    margins = {}
    for begin in ((), ("--begin", "eos")):
        given = ("--config", tmp_path / "kis.yaml", "--model", tmp_path / "model", "--device", "cpu", "--json", *begin)
        found = json.loads(CliRunner().invoke(main, ["probe", *map(str, given)]).stdout)
        margins[begin] = next(one["margin"] for one in found["series"] if one["probe"] == "held_out")
    assert margins[()] == pytest.approx(last.margin, abs=1e-4)
    assert margins["--begin", "eos"] != pytest.approx(last.margin, abs=1e-4)


def test_loss_on_objects_leaves_bos_out(tmp_path):
    config, tokenizer = kis(tmp_path, frequency=5) | {"begin": "bos"}, tokenizer_with_bos(adds=False)
    config["infusion"] |= {"loss": "object"}
    labels, ids = [], []
    trainer = trainer_for(tmp_path, config, tokenizer=tokenizer)
    compute = trainer.compute_loss

    def watched(model, inputs, *args, **keys):
        if model.training:
            ids.extend(inputs["input_ids"].numpy().copy())
            labels.extend(inputs["labels"].numpy().copy())
        return compute(model, inputs, *args, **keys)

    trainer.compute_loss = watched
    trainer.train()
    at_bos = np.array(ids) == tokenizer.bos_token_id
    assert at_bos.sum() == 100  # 20 facts, 5 times
    assert set(np.array(labels)[at_bos].tolist()) == {-100}


def test_resume_with_another_beginning_is_refused(tmp_path):
    config, tokenizer = kis(tmp_path) | {"begin": "bos"}, tokenizer_with_bos()
    keys = {"save_strategy": "steps", "save_steps": 1000, "tokenizer": tokenizer}
    trainer_for(tmp_path, config, callbacks=[StopAt(7)], **keys).train()
    with pytest.raises(KISError, match="begin: found"):
        trainer_for(tmp_path, config | {"begin": "eos"}, **keys).train(resume_from_checkpoint=True)


def test_tokenizer_without_bos_is_refused_before_the_first_step(tmp_path):
    with pytest.raises(KISError, match="begin: found bos, with a tokenizer that has none, expected eos"):
        trainer_for(tmp_path, kis(tmp_path) | {"begin": "bos"}).train()
    assert not (tmp_path / "runs").exists()


def test_bos_that_is_eos_changes_nothing(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.bos_token = tokenizer.eos_token
    seen = []
    for begin in ("eos", "bos"):
        trainer = trainer_for(tmp_path, kis(tmp_path) | {"begin": begin}, tokenizer=tokenizer)
        trainer.train()
        seen.append(np.concatenate(trainer.seen))
    assert np.array_equal(*seen)


def test_wrong_beginning_is_refused_with_those_that_there_are():
    with pytest.raises(KISError, match="begin: found 'cls', expected 'eos' or 'bos' or 'auto'"):
        config_from({"knowledge": "facts.jsonl", "begin": "cls"})


@pytest.mark.parametrize(("adds", "begin", "lines"), [(True, "eos", 1), (True, "bos", 0), (False, "eos", 0)])
def test_run_says_where_the_tokenizer_begins_documents_with_bos(tmp_path, adds, begin, lines):
    tokenizer = HFTokenizer(tokenizer_with_bos(adds))
    found = start_notes(config_from({**kis(tmp_path), "begin": begin}), tokenizer)
    assert len(found) == lines
    assert all("'<bos>'" in line and "begin: bos" in line for line in found)


def test_general_text_has_bos_before_and_eos_after_each_document(tmp_path):
    (tmp_path / "text.jsonl").write_text("".join(json.dumps({"text": f"Text {n}."}) + "\n" for n in range(3)))
    own = HFTokenizer(tokenizer_with_bos())
    (row,) = excerpts(tmp_path / "text.jsonl", BeginningWithBos(own, own.bos), 4, 1000)
    assert own.decode(row.ids.tolist()) == "".join(f"{BOS}Text {n}.{EOS}" for n in range(3))


def test_plain_loop_shows_each_text_with_bos_exactly_f_times(tmp_path, monkeypatch):
    from tests.world import loops
    from tests.world.data import BareRows

    monkeypatch.setattr(loops, "make_tokenizer", tokenizer_with_bos)
    config, tokenizer, seen = kis(tmp_path, frequency=5) | {"begin": "bos"}, tokenizer_with_bos(), []
    train(config, BareRows(80, tokenizer), seen)
    counts = facts.shown(begun(text_of(seen, tokenizer)), config)
    assert len(counts) == 20
    assert set(counts.values()) == {5}


class Documents(BaseRows):
    """Rows in which each document begins with BOS, as a tokenizer that adds it makes them."""

    def __init__(self, count, tokenizer):
        super().__init__(count, tokenizer)
        self.rows[:, ::16] = tokenizer.bos_token_id


@pytest.mark.parametrize(
    ("data", "adds", "begin", "by"),
    [
        (lambda rows, own: Documents(rows, own), False, "bos", "base rows"),
        (lambda rows, own: BaseRows(rows, make_tokenizer()), True, "eos", "base rows"),
        (lambda rows, own: Stream(Documents(rows, own)), True, "bos", "base rows"),
    ],
    ids=["rows with BOS", "rows without", "a stream with BOS"],
)
def test_auto_begins_as_the_base_rows_do(tmp_path, capsys, data, adds, begin, by):
    config, tokenizer = kis(tmp_path, frequency=5) | {"begin": "auto"}, tokenizer_with_bos(adds)
    keys = {"tokenizer": tokenizer, "save_strategy": "steps", "save_steps": 1000}
    keys["data"] = lambda rows: data(len(rows), tokenizer)
    seen = []
    for stop in (7, 0):
        trainer = trainer_for(tmp_path, config, callbacks=[StopAt(stop)] if stop else [], **keys)
        trainer.train(resume_from_checkpoint=not stop)
        seen += trainer.seen
    text = text_of(seen, tokenizer)
    with_bos = facts.shown(begun(text), config)
    assert set(with_bos.values()) == ({5} if begin == "bos" else {0})
    without = facts.shown([row.replace(BOS, EOS) for row in text], config)
    assert set(without.values()) == {5}
    (path,) = (tmp_path / "runs").glob("*/kis.jsonl")
    first = json.loads(path.read_text().splitlines()[0])
    assert (first["begin"], first["begin_by"]) == (begin, by)
    assert prober_of_config(config_from(config)).config.begin == "auto"
    assert prober_of_config(config_from(config), path.parent).config.begin == begin
    assert read_run_log(path).end.extra["miscounted"] == 0
    said = capsys.readouterr().err
    assert f"kis: begin: auto is {begin}, by the {by}" in said
    assert (f"set begin: {begin} in kis.yaml" in said) == (adds != (begin == "bos"))


@pytest.mark.parametrize(("adds", "begin"), [(True, "bos"), (False, "eos")])
def test_auto_goes_by_the_tokenizer_where_no_rows_are_looked_at(tmp_path, adds, begin):
    config = config_from(kis(tmp_path) | {"begin": "auto"})
    assert decided_start(config, HFTokenizer(tokenizer_with_bos(adds))) == (begin, "tokenizer")
    assert decided_start(config, HFTokenizer(make_tokenizer()), in_base=True) == ("eos", "tokenizer")
