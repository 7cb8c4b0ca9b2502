"""A sweep whose runs LitGPT trains: as planned, to the end, and on from a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from litgpt import GPT, Config
from litgpt.utils import save_config

from kis_litgpt.model import parameter_counts
from kis_litgpt.sweep_training import config_of, config_on_from, plain_shape
from kis_litgpt.sweep_training import shape_of as trained_shape
from kis_plugin.errors import KISError
from kis_sweep.folder import runs_of
from kis_sweep.run_spec import Shape, SweepRun
from kis_sweep.shapes import shape_of
from tests.world.sweeps import environment, kis, logs_of, plan, write_split


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
def test_killed_runs_go_on_as_planned(tmp_path):
    write_split(tmp_path)
    done = plan(tmp_path, "--keep-models", framework="litgpt")
    assert done.returncode == 0, done.stderr
    runs = runs_of(tmp_path / "sweep")
    killed = next(run for run in runs if run.frequency)
    process = subprocess.Popen(
        [sys.executable, "-m", "kis_sweep.worker", str(tmp_path / "sweep"), killed.name], env=environment(),
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
    last = next(run for run in runs if run.frequency)
    goes_on(tmp_path, last, logs_of(tmp_path / "sweep")[last.name])


def goes_on(folder: Path, before: SweepRun, scratch: list[dict]) -> None:
    """A sweep goes on from the model that was kept: its first loss is below that of the run that trained it."""
    model = before.work / "model"
    done = kis(
        folder, "sweep", "plan", "--from", str(model), "--frequency", "8", "--config", "kis.yaml", "--text", "text.txt",
        "--block", "64", "--tokens-per-param", "2", "--batch-tokens", "256", "--framework", "litgpt", "--no-time",
        "--no-uninfused", "-o", "on",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = kis(folder, "sweep", "run", "on")
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = runs_of(folder / "on")
    assert (run.shape, run.model) == (before.shape, str(model))
    losses = lambda log: [line["loss"] for line in log if line["type"] == "loss"]  # noqa: E731
    assert losses(logs_of(folder / "on")[run.name])[0] < losses(scratch)[0] - 0.1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"norm_class_name": "LayerNorm"}, "norm_class_name: found 'LayerNorm', expected 'RMSNorm'"),
        ({"block_size": 32}, "found rows of up to 32, expected 64, as --block says"),
    ],
)
def test_a_model_that_no_run_can_be_is_refused(tmp_path, changes, said):
    config = Config(**(config_of(shape_of(60_000, 1024), 64) | changes))
    torch.save(GPT(config).state_dict(), tmp_path / "lit_model.pth")
    save_config(config, tmp_path)
    with pytest.raises(KISError, match=said):
        trained_shape(str(tmp_path), 64)


@pytest.mark.parametrize("name", ["Llama-2-7b-hf", "Llama-3.2-1B", "tiny-llama-1.1b", "Llama-3.1-8B", "SmolLM2-135M"])
def test_llamas_that_litgpt_knows_can_be_gone_on_from(name):
    config = Config.from_name(name)
    shape = plain_shape(name, config, False, 64)
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in GPT(config).parameters()) == shape.params


@pytest.mark.parametrize("name", ["pythia-14m", "phi-2", "Gemma-2-2b", "Mistral-7B-v0.1"])
def test_what_is_no_llama_is_refused(name):
    with pytest.raises(KISError, match=f"model {name} "):
        plain_shape(name, Config.from_name(name), False, 64)


def test_heads_that_share_keys_are_counted():
    shape = Shape(layers=2, width=32, heads=4, key_heads=2, feed_forward=88, vocabulary=512, tied=False)
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in GPT(Config(**config_of(shape, 64))).parameters()) == shape.params


def test_a_training_checkpoint_is_refused_before_the_run(tmp_path):
    config = Config(**config_of(shape_of(60_000, 1024), 64))
    torch.save({"model": GPT(config).state_dict(), "iter_num": 3}, tmp_path / "lit_model.pth")
    save_config(config, tmp_path)
    with pytest.raises(KISError, match=r"a training checkpoint, expected a model's weights alone.*convert_pretrained"):
        trained_shape(str(tmp_path), 64)


def test_positions_of_a_trained_model_are_its_own(tmp_path):
    shape = shape_of(60_000, 1024)
    config = Config(**(config_of(shape, 64) | {"rope_base": 500_000}))
    torch.save(GPT(config).state_dict(), tmp_path / "lit_model.pth")
    save_config(config, tmp_path)
    assert trained_shape(str(tmp_path), 64) == replace(shape, tied=False)
    assert Config(**config_on_from(shape, config)).rope_base == 500_000
