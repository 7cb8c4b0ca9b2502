"""A torn checkpoint is refused before the Trainer loads it, and the newest whole one before it is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")

from transformers import Trainer

from kis_hf import KnowledgeInfusion
from kis_hf.whole_checkpoint import refuse_torn
from kis_plugin.errors import KISError
from kis_plugin.run.log import read_run_log
from tests.world.facts import kis
from tests.world.runs import trainer_for
from tests.world.tokenizers import make_tokenizer


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a folder with checkpoints of steps 4 and 8, and the keys of its Trainer."""
    folder = tmp_path_factory.mktemp("saved")
    keys = {"save_strategy": "steps", "save_steps": 4, "max_steps": 10}
    trainer_for(folder, kis(folder), **keys).train()
    shutil.rmtree(folder / "out" / "checkpoint-10")
    return folder, keys


DAMAGES = {
    "model.safetensors": (cut, r"model\.safetensors has .* bytes instead of"),
    "optimizer.pt": (cut, "optimizer.pt is cut off"),
    "scheduler.pt": (lambda path: path.write_bytes(b""), "scheduler.pt is cut off"),
    "trainer_state.json": (cut, "trainer_state.json is no JSON"),
    "trainer_state.json gone": (Path.unlink, "trainer_state.json is missing"),
    "config.json": (lambda path: path.write_bytes(b"\0" * 9), "config.json is no JSON"),
}


@pytest.fixture
def out(saved, tmp_path):
    shutil.copytree(saved[0] / "out", tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("resumed", [True, "named"])
def test_the_file_and_the_whole_checkpoint_before_it_are_named(out, damage, resumed):
    break_it, found = DAMAGES[damage]
    break_it(out / "checkpoint-8" / damage.partition(" ")[0])
    with pytest.raises(KISError, match=found) as caught:
        refuse_torn(str(out / "checkpoint-8") if resumed == "named" else True, out)
    assert f"{out / 'checkpoint-4'} is whole" in str(caught.value)


def test_torn_checkpoints_in_between_are_passed_over(out):
    shutil.copytree(out / "checkpoint-8", out / "checkpoint-12")
    for step in (8, 12):
        cut(out / f"checkpoint-{step}" / "optimizer.pt")
    with pytest.raises(KISError, match="checkpoint-4 is whole"):
        refuse_torn(True, out)
    cut(out / "checkpoint-4" / "model.safetensors")
    with pytest.raises(KISError, match="No checkpoint before it is whole"):
        refuse_torn(True, out)


def test_whole_checkpoints_and_none_are_left_to_the_trainer(out, tmp_path):
    for resumed in (True, str(out / "checkpoint-4"), None, False, str(tmp_path / "absent")):
        refuse_torn(resumed, out)
    refuse_torn(True, tmp_path / "no output yet")


@pytest.mark.parametrize("given", ["add_callback", "subclass", "class", "none"])
def test_a_callback_that_is_added_later_looks_too_and_a_trainer_without_one_does_not(out, saved, given, monkeypatch):
    """No event of the Trainer comes when a callback is added."""
    cut(out / "checkpoint-8" / "optimizer.pt")
    trainer = trainer_for(out.parent, None, **saved[1])
    loads = []
    monkeypatch.setattr(trainer, "_load_from_checkpoint", lambda *args, **keys: loads.append(args) or 1 / 0)
    if given == "add_callback":
        trainer.add_callback(KnowledgeInfusion(kis(saved[0]), tokenizer=make_tokenizer()))
    elif given == "subclass":
        kind = type("Mine", (KnowledgeInfusion,), {})
        trainer.add_callback(kind(kis(saved[0]), tokenizer=make_tokenizer()))
    elif given == "class":
        monkeypatch.setattr(type(trainer), "train", lambda self, *args, **keys: Trainer.train(self, *args, **keys))
        trainer.add_callback(KnowledgeInfusion(kis(saved[0]), tokenizer=make_tokenizer()))
    with pytest.raises((KISError, ZeroDivisionError)) as caught:
        trainer.train(resume_from_checkpoint=True)
    assert (caught.type, bool(loads)) == ((ZeroDivisionError, True) if given == "none" else (KISError, False))


def test_a_run_refuses_a_torn_checkpoint_and_goes_on_from_the_one_that_is_named(saved):
    folder, keys = saved
    whole = (folder / "out" / "checkpoint-8" / "optimizer.pt").read_bytes()
    cut(folder / "out" / "checkpoint-8" / "optimizer.pt")
    trainer = trainer_for(folder, kis(folder), **keys)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(KISError, match=r"checkpoint-8: found optimizer\.pt is cut off.*checkpoint-4 is whole"):
        trainer.train(resume_from_checkpoint=True)
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    trainer_for(folder, kis(folder), **keys).train(resume_from_checkpoint=str(folder / "out" / "checkpoint-4"))
    (folder / "out" / "checkpoint-8" / "optimizer.pt").write_bytes(whole)
    log = read_run_log(next(folder.glob("runs/*/kis.jsonl")))
    achieved = json.loads(next(folder.glob("runs/*/kis.jsonl")).read_text().splitlines()[-1])["achieved_frequency"]
    assert (log.end.status, achieved["min"], achieved["max"]) == ("completed", 3, 3)
