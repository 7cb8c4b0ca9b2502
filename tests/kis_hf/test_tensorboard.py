"""What a Trainer's TensorBoard holds of retention, read back from its event files."""

from __future__ import annotations

import pytest

from tests.world.facts import kis
from tests.world.logs import log_of
from tests.world.runs import trainer_for


def test_tensorboard_has_each_series_and_chance_under_one_name(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.layout_pb2 import Layout

    from kis_predict.readers.tensorboard import _records, _scalars

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    trainer_for(tmp_path, kis(tmp_path), max_steps=8, report_to=["tensorboard"]).train()
    found: dict[str, dict[int, float]] = {}
    layouts = []
    for path in (tmp_path / "board").rglob("*tfevents*"):
        for tag, step, value in _scalars(path, []):
            found.setdefault(tag, {})[step] = value
        events = [Event.FromString(data) for _, data in _records(path, [])]
        texts = [one.tensor for event in events for one in event.summary.value if "custom_scalars" in one.tag]
        layouts += [Layout.FromString(text.string_val[0]) for text in texts]
    log = log_of(tmp_path)
    for series in ("held_out", "seen", "control", "above_control"):
        expected = {one.step: one.accuracy for one in log.retention if one.probe == series}
        assert found[f"train/retention/{series}"] == pytest.approx(expected, abs=1e-6)
    chance = {one.step: one.extra["chance"] for one in log.retention if one.probe == "held_out"}
    assert found["train/retention/chance"] == pytest.approx(chance, abs=1e-6)
    # One chart has retention and chance: TensorBoard draws each scalar alone otherwise.
    (layout,) = layouts
    ((chart,),) = [category.chart for category in layout.category]
    names = ("held_out", "seen", "control", "chance")
    assert list(chart.multiline.tag) == [f"train/retention/{name}" for name in names]
    assert set(chart.multiline.tag) <= set(found)
