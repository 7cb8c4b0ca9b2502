"""What a Trainer's TensorBoard holds of retention, read back from its event files."""

from __future__ import annotations

import pytest

from tests.world.facts import kis
from tests.world.logs import log_of
from tests.world.runs import trainer_for


def test_tensorboard_has_each_series_and_chance_under_one_name(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    from kis_predict.readers.tensorboard import _scalars

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    trainer_for(tmp_path, kis(tmp_path), max_steps=8, report_to=["tensorboard"]).train()
    found: dict[str, dict[int, float]] = {}
    for path in (tmp_path / "board").rglob("*tfevents*"):
        for tag, step, value in _scalars(path, []):
            found.setdefault(tag, {})[step] = value
    log = log_of(tmp_path)
    for series in ("held_out", "seen", "control", "above_control"):
        expected = {one.step: one.accuracy for one in log.retention if one.probe == series}
        assert found[f"train/retention/{series}"] == pytest.approx(expected, abs=1e-6)
    chance = {one.step: one.extra["chance"] for one in log.retention if one.probe == "held_out"}
    assert found["train/retention/chance"] == pytest.approx(chance, abs=1e-6)
