"""What a Trainer's W&B run holds of retention, read back from the file that W&B writes offline."""

from __future__ import annotations

import json
import struct

import pytest

from tests.world.facts import kis
from tests.world.logs import log_of
from tests.world.runs import trainer_for

_BLOCK = 32768


def history(path):
    """Yield the values of each step, by name.

    After 7 bytes the file is a LevelDB log: records of CRC (4 bytes), length (2), kind (1: whole; 2, 3, 4: first,
    middle, last part) in blocks of 32 KiB. Each is a protocol buffer of W&B.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if _BLOCK - at % _BLOCK < 7:
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record, parts = Record.FromString(parts), b""
            if record.WhichOneof("record_type") == "history":
                yield {
                    "/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item
                }


@pytest.mark.slow
def test_an_offline_run_has_each_series_and_chance_at_its_step(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    for name, value in {"MODE": "offline", "DIR": str(tmp_path), "SILENT": "true", "PROJECT": "kis"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    (tmp_path / "general.txt").write_text("Some general text. " * 50)
    config = kis(tmp_path)
    config["retention"]["general_text"] = str(tmp_path / "general.txt")
    trainer_for(tmp_path, config, max_steps=8, report_to=["wandb"]).train()
    wandb.finish()
    (path,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    found: dict[str, dict[int, float]] = {}
    for values in history(path):
        for name, value in values.items():
            if name.startswith("train/retention/"):
                found.setdefault(name.removeprefix("train/retention/"), {})[values["train/global_step"]] = value
    log = log_of(tmp_path)
    expected = {
        series: {one.step: one.accuracy for one in log.retention if one.probe == series}
        for series in ("held_out", "seen", "control", "above_control")
    }
    expected["chance"] = {one.step: one.extra["chance"] for one in log.retention if one.probe == "held_out"}
    expected["general_loss"] = {one.step: one.loss for one in log.loss if one.split == "general"}
    assert len(expected["held_out"]) > 1
    assert found == {series: pytest.approx(values) for series, values in expected.items()}
