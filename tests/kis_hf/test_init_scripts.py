"""The training scripts of kis init run as they stand, with exact counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kis_plugin.cli.main import main
from kis_plugin.storage.shipped_data import sample_text
from tests.world import processes
from tests.world.logs import log_of


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["hf", "trl", "torch"])
def test_the_script_runs(framework, tmp_path):
    if framework == "trl":
        pytest.importorskip("trl")
    text = tmp_path / "few.txt"
    text.write_text(sample_text(300_000), encoding="utf-8")
    folder = tmp_path / "run"
    done = CliRunner().invoke(main, ["init", str(folder), "--for", framework, "--text", str(text)])
    assert done.exit_code == 0, done.output
    # A run of seconds instead of minutes: the script as it stands but for its length, and fewer exposures.
    script, config = folder / "train.py", folder / "kis.yaml"
    assert "64, 8, 2800, 6e-3" in script.read_text()
    script.write_text(script.read_text().replace("64, 8, 2800, 6e-3", "64, 8, 60, 6e-3"))
    config.write_text(config.read_text().replace("frequency: 500", "frequency: 2").replace("every: 0.1", "every: 0.5"))
    run = subprocess.run(
        [sys.executable, "train.py"],
        cwd=folder,
        env=processes.environment(),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    log = log_of(folder)
    assert log.end.status == "completed"
    assert log.end.achieved_frequency == {"min": 2, "max": 2, "mean": 2}
    assert (folder / "model" / "config.json").is_file()
    assert {record.step for record in log.retention} == {0, 30, 60}
    assert Path(folder / "model" / "tokenizer.json").is_file()
