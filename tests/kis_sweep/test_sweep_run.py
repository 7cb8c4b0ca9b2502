"""``run.yaml``: a written run is read back, and contradicting or invalid keys are refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kis_plugin.errors import KISError
from kis_sweep.run_spec import Recipe, Shape, SweepRun
from kis_sweep.run_spec_file import read_sweep_run, sweep_run_text

RECIPE = Recipe(
    steps=10, batch=4, sequence_length=32, learning_rate=0.01, least_rate=0.1, warmup=0.05, weight_decay=0.1, clip=1.0,
    precision="32", compile=False, saves=2, keep_model=False, seed=3,
)  # fmt: skip


def a_run(folder: Path, **changes) -> SweepRun:
    shape = Shape(layers=2, width=32, heads=2, key_heads=2, feed_forward=88, vocabulary=512, tied=True)
    given = {"sweep": folder, "name": "", "framework": "hf", "frequency": 8.0} | changes
    run = SweepRun(**given, shape=shape, recipe=RECIPE)
    return replace(run, name=run.planned_name)


def written(run: SweepRun) -> SweepRun:
    run.settings.parent.mkdir(parents=True)
    run.settings.write_text(sweep_run_text(run))
    return run


@given(st.floats(0, 1e15), st.sampled_from(["hf", "litgpt", "other"]))
def test_written_run_is_read_back(tmp_path_factory, frequency, framework):
    run = written(a_run(tmp_path_factory.mktemp("sweep"), frequency=frequency, framework=framework))
    assert read_sweep_run(run.sweep, run.name) == run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.update(speed=3), "speed: found an unknown key"),
        (lambda values: values.pop("shape"), "shape: found no such key"),
        (lambda values: values["recipe"].pop("steps"), "recipe.steps: found no such key"),
        (lambda values: values["recipe"].update(steps=0), "recipe.steps: found 0"),
        (lambda values: values["recipe"].update(precision="fp8"), "recipe.precision: found 'fp8'"),
        (lambda values: values.update(params=1), "params: found 1, expected"),
        (lambda values: values["shape"].update(heads=3), "shape.heads: found 3 for a width of 32"),
    ],
)
def test_invalid_key_is_named(tmp_path, change, message):
    run = written(a_run(tmp_path))
    path = run.settings
    values = yaml.safe_load(path.read_text())
    change(values)
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(KISError) as caught:
        read_sweep_run(tmp_path, run.name)
    assert message in str(caught.value)
    assert "run.yaml" in str(caught.value)


def test_file_without_key_heads_and_model_is_read(tmp_path):
    run = written(a_run(tmp_path))
    values = yaml.safe_load(run.settings.read_text())
    del values["model"], values["shape"]["key_heads"]
    run.settings.write_text(yaml.safe_dump(values))
    assert read_sweep_run(tmp_path, run.name) == run


def test_key_heads_must_divide_the_heads(tmp_path):
    run = written(a_run(tmp_path))
    run.settings.write_text(run.settings.read_text().replace("key_heads: 2", "key_heads: 3"))
    with pytest.raises(KISError, match=r"shape\.key_heads: found 3 for 2 heads, expected a number that divides"):
        read_sweep_run(tmp_path, run.name)
