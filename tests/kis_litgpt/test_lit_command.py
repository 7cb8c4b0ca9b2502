"""The stock command, LitGPT's own ``torch.compile`` included, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.world import processes
from tests.world.logs import log_of

LITGPT = Path(sys.executable).with_name("litgpt")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LITGPT.exists(), reason="the command litgpt is not beside this Python"),
]


def environment(folder):
    found = processes.environment()
    return found | {"PYTHONPATH": os.pathsep.join([str(folder), found["PYTHONPATH"]])}


@pytest.fixture
def folder(tmp_path):
    command = [sys.executable, str(processes.ROOT / "examples" / "litgpt" / "prepare.py"), str(tmp_path)]
    subprocess.run(command, check=True, env=environment(tmp_path), timeout=120)
    return tmp_path


def pretrain(folder, *options):
    command = [str(LITGPT), "pretrain", "pythia-14m", *options]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def accuracy(log, series):
    return [record.accuracy for record in log.retention if record.probe == series]


def test_the_example_runs_as_it_stands(folder):
    done = pretrain(folder, "--config", "pretrain.yaml")
    assert "Final evaluation" in done.stdout
    log = log_of(folder)
    frequency = yaml.safe_load((folder / "kis.yaml").read_text())["infusion"]["frequency"]
    assert log.end.status == "completed"
    assert log.end.achieved_frequency == {"min": frequency, "max": frequency, "mean": frequency}
    assert log.run.tokens == 512_000
    assert [record.step for record in log.loss] == [50, 100, 150, 200, 250]
    assert [record.step for record in log.retention if record.probe == "seen"] == [0, 50, 100, 150, 200, 250]
    assert accuracy(log, "seen")[-1] > accuracy(log, "seen")[0] + 0.1


def test_a_project_of_kis_init_runs(tmp_path):
    from click.testing import CliRunner

    from kis_plugin.cli.main import main
    from kis_plugin.storage.shipped_data import sample_text

    text, folder = tmp_path / "few.txt", tmp_path / "run"
    text.write_text(sample_text(300_000), encoding="utf-8")
    done = CliRunner().invoke(main, ["init", str(folder), "--for", "litgpt", "--text", str(text)])
    assert done.exit_code == 0, done.output
    pretraining, config = folder / "pretrain.yaml", folder / "kis.yaml"
    values = yaml.safe_load(pretraining.read_text())
    values["train"] |= {"max_tokens": 60 * 64 * 8, "save_interval": 60}
    values["eval"] |= {"interval": 30}
    pretraining.write_text(yaml.safe_dump(values))
    config.write_text(config.read_text().replace("frequency: 500", "frequency: 2"))
    subprocess.run([sys.executable, "make_tokenizer.py"], cwd=folder, env=environment(folder), check=True, timeout=60)
    pretrain(folder, "--config", "pretrain.yaml")
    log = log_of(folder)
    assert log.end.status == "completed"
    assert log.end.achieved_frequency == {"min": 2, "max": 2, "mean": 2}
    assert [record.step for record in log.retention if record.probe == "seen"] == [0, 30, 60]


def test_the_command_goes_on_after_a_kill(folder):
    settings = yaml.safe_load((folder / "kis.yaml").read_text())
    settings["infusion"]["frequency"] = 12
    (folder / "kis.yaml").write_text(yaml.safe_dump(settings))
    config = yaml.safe_load((folder / "pretrain.yaml").read_text())
    del config["data"]
    (folder / "model.yaml").write_text(yaml.safe_dump(config))
    options = ["--config", "model.yaml", "--data", "kis_litgpt.KnowledgeInfusion", "--data.kis", "kis.yaml"]
    options += ["--data.data", "kis_litgpt.text_rows.TextRows", "--data.data.train_path", "train.txt"]
    options += ["--data.data.val_path", "val.txt", "--train.max_tokens", "81920", "--train.save_interval", "8"]
    options += ["--eval.interval", "20", "--resume", "auto"]
    command = [str(LITGPT), "pretrain", "pythia-14m", *options]
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        until = time.monotonic() + 300
        while not (folder / "out" / "step-00000016" / "model_config.yaml").exists() and time.monotonic() < until:
            assert first.poll() is None
            time.sleep(0.01)
        first.kill()
    assert log_of(folder).end is None
    pretrain(folder, *options)
    log = log_of(folder)
    assert log.end.status == "completed"
    assert log.end.achieved_frequency == {"min": 12, "max": 12, "mean": 12}
    assert sorted({record.step for record in log.retention}) == [0, 20, 40]
