"""A tokenizer by the folder or the name that a run would load it from: the same ids, the same fingerprint."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kis_plugin.errors import KISError
from kis_plugin.tokenized.load_tokenizer import load_tokenizer

tokenizers = pytest.importorskip("tokenizers")

EOS = "<eos>"

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def folder(here) -> Path:
    """A tokenizer as models come with it."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=[EOS], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(["Land1 is governed from Town1."] * 3, trainer)
    path = Path("model")
    path.mkdir()
    made.save(str(path / "tokenizer.json"))
    configure(path, eos_token=EOS)
    return path


def configure(folder: Path, **values: str) -> None:
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, **values})
    )


def as_litgpt(folder: Path) -> None:
    (folder / "model_config.yaml").write_text("name: pythia-14m\n")


def refused(name: str) -> str:
    with pytest.raises(KISError) as caught:
        load_tokenizer(name)
    return str(caught.value)


def test_a_folder_and_its_file_are_the_same(folder):
    transformers = pytest.importorskip("transformers")
    from kis_plugin.tokenized.tokenizer import HFTokenizer

    found = load_tokenizer("model")
    assert found.fingerprint == load_tokenizer("model/tokenizer.json").fingerprint
    assert found.fingerprint == HFTokenizer(transformers.AutoTokenizer.from_pretrained("model")).fingerprint
    assert found.eos == 0


@pytest.mark.parametrize("litgpt", [False, True])
def test_an_end_of_text_that_only_the_generation_names(folder, litgpt):
    if litgpt:
        as_litgpt(folder)
    else:
        pytest.importorskip("transformers")
    configure(folder)
    assert "no EOS token" in refused("model")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 7}))
    assert load_tokenizer("model").eos == 7


@pytest.mark.parametrize("eos", [EOS, {"content": EOS}])
def test_a_checkpoint_of_litgpt_needs_no_transformers(folder, monkeypatch, eos):
    as_litgpt(folder)
    configure(folder, eos_token=eos)
    monkeypatch.setitem(sys.modules, "transformers", None)
    found = load_tokenizer("model")
    assert found.eos == 0
    assert found.decode(found.encode(["Land1 is"])[0].ids) == "Land1 is"


def test_a_run_of_litgpt_finds_what_was_prepared_for_it(folder):
    litgpt = pytest.importorskip("litgpt.tokenizer")
    from kis_litgpt.tokenizer import LitTokenizer

    as_litgpt(folder)
    assert load_tokenizer("model").fingerprint == LitTokenizer(litgpt.Tokenizer("model")).fingerprint


def test_what_is_missing_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert refused("model").endswith("expected it, to load a tokenizer with. pip install 'kis-plugin[hf]'")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    as_litgpt(folder)
    assert refused("model").endswith("pip install 'kis-plugin[litgpt]'")


def test_a_folder_without_a_tokenizer(folder):
    Path("empty").mkdir()
    assert refused("empty") == (
        "--tokenizer empty: found a folder without a tokenizer, expected a folder with tokenizer.json"
    )
    as_litgpt(folder)
    (folder / "tokenizer.json").unlink()
    assert "found a checkpoint of LitGPT without a tokenizer" in refused("model")


def test_a_file_that_is_none(folder):
    pytest.importorskip("transformers")
    Path("facts.jsonl").write_text("{}")
    assert refused("facts.jsonl").startswith("--tokenizer facts.jsonl: found ")
