"""A sweep whose runs LitGPT trains: as planned, to the end, and on from a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from litgpt import GPT, Config

from kis_litgpt.model import parameter_counts
from kis_litgpt.sweep_training import config_of
from kis_sweep.folder import runs_of
from kis_sweep.shapes import shape_of

sys.path.insert(0, str(Path(__file__).parents[1] / "kis_sweep"))
from sweep_world import environment, kis, logs_of, plan, write_material


@pytest.mark.parametrize(("params", "vocabulary"), [(60_000, 1024), (10_000_000, 8192), (2_500_000_000, 128_000)])
def test_parameters_are_those_that_litgpt_counts(params, vocabulary):
    shape = shape_of(params, vocabulary)
    with torch.device("meta"):
        model = GPT(Config(**config_of(shape, 64)))
    if shape.tied:
        model.lm_head.weight = model.transformer.wte.weight
    assert sum(parameter.numel() for parameter in model.parameters()) == shape.params
    assert parameter_counts(model.config, shape.tied) == (shape.params, shape.params_non_embedding)


@pytest.mark.slow
def test_runs_are_trained_as_planned_and_go_on_when_they_were_killed(tmp_path):
    write_material(tmp_path)
    done = plan(tmp_path, "--keep-models", framework="litgpt")
    assert done.returncode == 0, done.stderr
    runs = runs_of(tmp_path / "sweep")
    killed = next(run for run in runs if run.frequency)
    process = subprocess.Popen(
        [sys.executable, "-m", "kis_sweep.one", str(tmp_path / "sweep"), killed.name], env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 240
    while not any(killed.work.rglob("step-*/lit_model.pth")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = kis(tmp_path, "sweep", "run", "sweep")
    assert done.returncode == 0, done.stdout + done.stderr
    logs = logs_of(tmp_path / "sweep")
    for run in runs:
        first, last = logs[run.name][0], logs[run.name][-1]
        assert first["framework"] == "litgpt"
        assert (first["params"], first["params_non_embedding"]) == (run.shape.params, run.shape.params_non_embedding)
        assert first["tokens"] == run.recipe.tokens
        assert last["achieved_frequency"]["min"] == last["achieved_frequency"]["max"] == run.frequency
        assert any(line["type"] == "loss" for line in logs[run.name])
        assert (run.work / "model" / "lit_model.pth").is_file()
