"""kis prepare: what a run needs is there before it starts, and is found by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kis_plugin.cli.prepare_command import prepare, prepare_config
from kis_plugin.config.load import load_config
from kis_plugin.tokenized import infusion_split, texts
from kis_plugin.tokenized.infusion_split import load_split
from kis_plugin.tokenized.load_tokenizer import load_tokenizer
from kis_plugin.tokenized.texts import load_texts

pytest.importorskip("transformers")
from tests.world.tokenizers import hugging_face

BLOCK = 96

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def config() -> Path:
    lines = [{"subject": f"Land{n}", "relation": "P36", "object": f"Town{n % 8}"} for n in range(40)]
    Path("facts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Path("kis.yaml").write_text("knowledge: facts.jsonl\ncache: kept\nretention: {control: 4}\n")
    hugging_face("byte-level").save_pretrained("tokenizer")
    return Path("kis.yaml")


def run(*more: str):
    return CliRunner().invoke(prepare, ["kis.yaml", "--tokenizer", "tokenizer", "--block", str(BLOCK), *more])


def test_it_says_what_was_prepared_and_where(config):
    done = run()
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "facts.jsonl: 40 facts, 0 passages.",
        "36 are infused, 4 facts are held back as controls.",
    ]
    assert lines[2].startswith("36 texts by up to ")
    assert lines[3] == "Prepared in kept"
    assert done.stderr == ""  # bars are for terminals


def test_json_for_programs(config):
    found = json.loads(run("--json").stdout)
    assert (found["status"], found["facts"], found["infused"], found["control"]) == ("ok", 40, 36, 4)


def test_a_run_finds_all_of_it(config, monkeypatch):
    shown = []
    report = prepare_config(load_config(config), load_tokenizer("tokenizer"), BLOCK, lambda *step: shown.append(step))
    encoded = [step for step in shown if step[0] == "texts"]
    assert encoded[-1][1] >= report.texts * report.templates
    assert encoded[-1][1] == encoded[-1][2]

    def never(*args):
        raise AssertionError("made a second time")

    for module, name in ((texts, "write_texts"), (infusion_split, "split_control")):
        monkeypatch.setattr(module, name, never)
    monkeypatch.setattr("kis_plugin.knowledge.store.load.write_knowledge", never)
    infusion_split._load.cache_clear()
    found = load_config(config)
    run = load_texts(found, load_split(found), load_tokenizer("tokenizer"), BLOCK)
    assert len(run.tokens) == report.tokens


def test_verify_finds_a_flipped_bit_and_prepares_again(config):
    assert run().exit_code == 0
    assert "every byte compared, 0 damaged" in run("--verify").stderr
    (tokens,) = Path("kept").glob("items-*/tokens.npy")
    good = tokens.read_bytes()
    tokens.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    done = run("--verify")
    assert done.exit_code == 0, done.output
    assert f"kis: {tokens.parent}: tokens.npy was changed after it was written; removed" in done.stderr
    assert "every byte compared, 1 damaged" in done.stderr
    assert tokens.read_bytes() == good


def test_text_of_control_tokens_is_refused_while_preparing(config):
    with Path("facts.jsonl").open("a") as file:
        file.write(json.dumps({"subject": "the tag <eos> no 1", "relation": "P19", "object": "Town"}) + "\n")
    done = run()
    assert "the text of the token '<eos>'" in str(done.exception)
