"""What the Trainer's own reporters get of retention: a handful of series, under the names that the docs give."""

from __future__ import annotations

import pytest

from kis_predict.readers import TensorBoardReader
from tests.world.facts import kis
from tests.world.logs import log_of
from tests.world.runs import trainer_for

SERIES = {"held_out", "seen", "control", "above_control", "chance", "general_loss"}


@pytest.mark.parametrize("host_metrics", ["series", "all"])
def test_event_files_of_tensorboard_have_the_documented_series(tmp_path, host_metrics):
    pytest.importorskip("tensorboardX")
    (tmp_path / "general.txt").write_text("Some general text. " * 50)
    config = kis(tmp_path, frequency=5)
    config["retention"] |= {"general_text": str(tmp_path / "general.txt"), "host_metrics": host_metrics}
    trainer = trainer_for(tmp_path, config, report_to=["tensorboard"])
    trainer.train()
    (path,) = tmp_path.rglob("*tfevents*")
    (run,) = TensorBoardReader().read(path)
    found = {tag.removeprefix("train/retention/") for tag in run.tree if "retention" in tag}
    assert found == SERIES if host_metrics == "series" else found > SERIES
    (last,) = (one.accuracy for one in log_of(tmp_path).retention if (one.probe, one.step) == ("held_out", 20))
    assert run.values["retention"] == pytest.approx(last)
    history = {name for line in trainer.state.log_history for name in line if name.startswith("retention/")}
    assert {name.removeprefix("retention/") for name in history} == found
