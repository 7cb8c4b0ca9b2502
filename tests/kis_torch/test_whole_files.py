"""Checkpoints with empty, cut and foreign files are distinguished from whole ones."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from kis_plugin.run.exposure_file import SavedExposures, exposures_path, write_exposures
from kis_torch.whole_files import damage_of_checkpoint, damage_of_exposures

FILES = ("model.safetensors", "optimizer.pt", "trainer_state.json")


@pytest.fixture
def checkpoint(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    tensors = {"a": torch.zeros(30, 7), "b": torch.ones(5, dtype=torch.int8)}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    torch.save(tensors, tmp_path / "optimizer.pt")
    (tmp_path / "trainer_state.json").write_text(json.dumps({"global_step": 3, "log_history": [1] * 50}))
    return tmp_path


DAMAGES = {
    "empty": lambda raw: b"",
    "cut": lambda raw: raw[: len(raw) * 2 // 3],
    "last byte missing": lambda raw: raw[:-1],
    "garbage": lambda raw: random.Random(0).randbytes(len(raw)),
    "zeros": lambda raw: bytes(len(raw)),
}


def test_whole_checkpoint_is_whole(checkpoint):
    assert damage_of_checkpoint(checkpoint, "trainer_state.json") == ""


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_damaged_file_is_named(checkpoint, name, damage):
    path = checkpoint / name
    path.write_bytes(damage(path.read_bytes()))
    assert damage_of_checkpoint(checkpoint, "trainer_state.json").startswith(f"{name} ")


def test_missing_file_that_the_host_always_writes_is_named(checkpoint):
    (checkpoint / "trainer_state.json").unlink()
    assert (
        damage_of_checkpoint(checkpoint, "model.safetensors", "trainer_state.json") == "trainer_state.json is missing"
    )
    assert damage_of_checkpoint(checkpoint / "nothing", "a") == "a is missing"


@pytest.mark.parametrize("damage", [*DAMAGES.values(), None], ids=[*DAMAGES, "missing"])
def test_exposures_that_cannot_be_read_are_named(tmp_path, damage):
    path = exposures_path(tmp_path / "run", 6)
    write_exposures(path, SavedExposures(np.arange(500, dtype=np.int64)))
    assert damage_of_exposures(tmp_path, 6) == ""
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    assert damage_of_exposures(tmp_path, 6).startswith("its exposures, exposures-6.npz, cannot be read: ")
    assert "there is no run log" in damage_of_exposures(tmp_path / "none", 6)
