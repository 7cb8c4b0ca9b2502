"""Models of others run no code: pickles are read as weights only, code in a checkpoint is not loaded nor offered."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

pytest.importorskip("transformers")

from kis_plugin.cli.main import main
from tests.world.models import make_model
from tests.world.tokenizers import make_tokenizer

FACTS = [{"subject": f"Person{at}", "relation": "P19", "object": town} for at, town in enumerate(("Rome", "Oslo") * 4)]
CODE = "from pathlib import Path\nPath({!r}).write_text('ran')\n"


class Runs:
    """What runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.write_text, (self.mark, "ran")


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "model"
    make_model().save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in FACTS))
    return folder


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def pickled(folder: Path, mark: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"model.embed_tokens.weight": Runs(mark)}, folder / "pytorch_model.bin")


def plain_pickle(folder: Path, mark: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Runs(mark)))


def code_of_the_model(folder: Path, mark: Path) -> None:
    (folder / "modeling.py").write_text(CODE.format(str(mark)))
    edit(
        folder / "config.json",
        model_type="theirs",
        auto_map={"AutoConfig": "modeling.Theirs", "AutoModelForCausalLM": "modeling.Model"},
    )


def code_beside_a_known_model(folder: Path, mark: Path) -> None:
    (folder / "modeling.py").write_text(CODE.format(str(mark)))
    edit(folder / "config.json", auto_map={"AutoModelForCausalLM": "modeling.Model"})


def code_of_the_tokenizer(folder: Path, mark: Path) -> None:
    (folder / "their_tokens.py").write_text(CODE.format(str(mark)))
    edit(
        folder / "tokenizer_config.json",
        tokenizer_class="Theirs",
        auto_map={"AutoTokenizer": ["their_tokens.Theirs", None]},
    )


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("attack", [pickled, plain_pickle, code_of_the_model])
def test_a_model_that_needs_code_is_refused_by_name_and_runs_none(model, tmp_path, attack):
    attack(model, tmp_path / "mark")
    done = CliRunner().invoke(
        main, ["probe", "--model", str(model), "--knowledge", "facts.jsonl", "--device", "cpu"], input="y\n" * 9
    )
    assert done.exit_code == 2, done.stderr
    assert f"model {model}" in done.stderr
    assert "[y/N]" not in done.output
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("attack", [code_beside_a_known_model, code_of_the_tokenizer])
def test_code_that_is_not_needed_is_not_loaded(model, tmp_path, attack):
    attack(model, tmp_path / "mark")
    done = CliRunner().invoke(
        main, ["probe", "--model", str(model), "--knowledge", "facts.jsonl", "--device", "cpu"], input="y\n" * 9
    )
    assert done.exit_code in (0, 2), done.stderr
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert "[y/N]" not in done.output
    assert not (tmp_path / "mark").exists()
