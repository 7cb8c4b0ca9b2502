"""``kis sweep`` on the command line: plan, run, interrupt and continue, status, next, add; all engines log the same."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys

import pytest
import yaml

pytest.importorskip("torch")
pytest.importorskip("transformers")

from kis_plugin.config.load import load_config
from kis_sweep.added_runs import add_runs
from kis_sweep.folder import runs_of
from kis_sweep.grid import Cell
from kis_sweep.settings import settings_of
from tests.world.sweeps import (
    begin_and_await_a_checkpoint,
    ends_of,
    environment,
    kis,
    logs_of,
    plan,
    sweep_whole,
    write_split,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def world(tmp_path):
    write_split(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep run by the local engine."""
    folder = tmp_path_factory.mktemp("world")
    return folder, sweep_whole(folder)


def test_plan_writes_a_configuration_per_run_and_shows_costs(world):
    done = plan(world)
    assert done.returncode == 0, done.stderr
    runs = runs_of(world / "sweep")
    assert [(run.frequency, run.recipe.seed) for run in runs] == [(0, 0), (8, 0)]
    for run in runs:
        config = load_config(run.config)
        assert config.infusion.frequency == run.frequency
        assert config.retention.control == 8
        assert config.run_log.resolve() == run.logs.resolve()
        assert config.knowledge.resolve() == world / "facts.jsonl"
        assert f"{run.shape.params:,}" in done.stdout
    assert "FLOPs, about" in done.stdout
    assert sorted(path.name for path in world.iterdir()) == ["facts.jsonl", "kis.yaml", "sweep", "text.txt"]


def test_plan_is_deterministic(world):
    plan(world, "--no-time")
    first = {path.relative_to(world): path.read_bytes() for path in world.rglob("*") if path.is_file()}
    (world / "sweep").rename(world / "before")
    plan(world, "--no-time")
    again = {path.relative_to(world): path.read_bytes() for path in (world / "sweep").rglob("*") if path.is_file()}
    assert again == {path: first[path] for path in again}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "10k"], "smaller vocabulary"),
        (["--frequency", "5000"], "Take fewer facts or more tokens"),
        (["--held-out-text", "short.txt"], "more than a row"),
        (["--tokenizer", "./not/there"], "no such folder"),
        (["--framework", "kers"], "one of the installed frameworks"),
        (["--text", "nowhere"], "no such file or folder"),
        (["--batch-tokens", "250"], "a multiple of --block"),
        (["--held-out-text", "facts.jsonl"], "no key 'text'"),
    ],
)
def test_invalid_plan_leaves_no_files(world, arguments, message):
    (world / "short.txt").write_text("a few words")
    done = plan(world, "--no-time", "--no-uninfused", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in world.iterdir()) == ["facts.jsonl", "kis.yaml", "short.txt", "text.txt"]


def test_guard_that_would_stop_training_is_refused(world):
    done = plan(world, "--no-time", guard="stop_training")
    assert done.returncode == 2
    assert "retention.guard.action: found stop_training" in done.stderr


def test_amount_that_does_not_fit_is_refused_by_plan_and_add(world):
    (world / "early.yaml").write_text(
        "knowledge: facts.jsonl\ninfusion: {window: [0, 0.05]}\nretention: {control: 8}\n"
    )
    refused = plan(world, "--no-time", "--frequency", "4..64", "--config", "early.yaml")
    assert refused.returncode == 2
    assert re.search(r"infusion.frequency: found [0-9.]+, which takes .* What fits is about \d", refused.stderr)
    assert not (world / "sweep").exists()
    assert plan(world, "--no-time", "--frequency", "2", "--config", "early.yaml").returncode == 0
    planned = runs_of(world / "sweep")
    assert kis(world, "sweep", "add", "sweep", "--frequency", "16").returncode == 2
    assert runs_of(world / "sweep") == planned
    cells = [Cell(settings_of(world / "sweep").grid[0].size, frequency, 0) for frequency in (24, 1, 16)]
    added = add_runs(world / "sweep", cells, dry_run=False, refuse=False)  # as for recommended runs
    assert [run.frequency for run in added.runs] == [1]
    assert runs_of(world / "sweep") == sorted([*planned, *added.runs], key=lambda run: run.name)
    assert [name.split("-F")[1] for name in added.unfit] == ["24-seed0", "16-seed0"]
    assert all("What fits is about" in reason for reason in added.unfit.values())


def test_plan_refuses_a_folder_that_is_not_empty(world):
    (world / "sweep").mkdir()
    (world / "sweep" / "mine.txt").write_text("mine")
    done = plan(world, "--no-time")
    assert done.returncode == 2
    assert [path.name for path in (world / "sweep").iterdir()] == ["mine.txt"]


def test_all_runs_infuse_each_fact_exactly_as_planned(swept):
    folder, done = swept
    assert "Finished 2 runs." in done.stdout
    logs = logs_of(folder / "sweep")
    assert len(logs) == 2
    for run in runs_of(folder / "sweep"):
        first, last = logs[run.name][0], logs[run.name][-1]
        assert (first["params"], first["params_non_embedding"]) == (run.shape.params, run.shape.params_non_embedding)
        assert (first["tokens"], first["seed"]) == (run.recipe.tokens, run.recipe.seed)
        assert last["status"] == "completed"
        assert last["achieved_frequency"]["min"] == last["achieved_frequency"]["max"] == run.frequency
        assert any(line["type"] == "loss" for line in logs[run.name])
        assert not (run.work / "checkpoints").exists()


def test_finished_runs_are_not_trained_again(swept):
    folder, _ = swept
    before = {path: path.stat().st_mtime_ns for path in folder.glob("sweep/runs/*/*/kis.jsonl")}
    done = kis(folder, "sweep", "run", "sweep")
    assert done.stdout.startswith("Finished 0 runs. 2 had finished before.\nNext: kis predict --logs ")
    assert {path: path.stat().st_mtime_ns for path in folder.glob("sweep/runs/*/*/kis.jsonl")} == before


def test_status_reports_each_run(swept):
    folder, _ = swept
    runs = json.loads(kis(folder, "sweep", "status", "sweep", "--json").stdout)["runs"]
    assert [run["state"] for run in runs] == ["finished"] * 2
    assert all(0 <= run["held_out"] <= 1 and run["done"] == 1 for run in runs)


def test_next_adds_the_recommended_runs(swept, tmp_path):
    folder, _ = swept
    report = json.loads(kis(folder, "sweep", "next", "sweep", "--target", "1M", "--dry-run", "--json").stdout)
    assert report["status"] == "ok"
    assert report["missing"]
    assert 0 < len(report["added"]) <= 8
    assert len(runs_of(folder / "sweep")) == 2
    assert report["flops"] > report["grid_flops"]


def test_next_stops_where_no_run_is_worth_its_cost(swept, monkeypatch):
    from click.testing import CliRunner

    from kis_predict.prediction import NextRun, Prediction, Target
    from kis_sweep.command import sweep

    folder, _ = swept
    arguments = ["next", str(folder / "sweep"), "--target", "1M", "--dry-run"]
    for width, code in ((0.97, 1), (0.94, 0)):
        runs = (NextRun(10**6, 10**6, 7.0, 1e9, 0.99), NextRun(10**6, 10**6, 9.0, 1e9, width))
        answer = Prediction("ok", Target(10**6, None), 0.9, (), (), (), next_runs=runs)
        monkeypatch.setattr("kis_sweep.added_runs.predict", lambda *given, answer=answer: answer)
        monkeypatch.setattr("kis_sweep.added_runs._cells", lambda wanted, *more: [Cell(10**5, 7.0, 5)] * bool(wanted))
        done = CliRunner().invoke(sweep, arguments)
        assert done.exit_code == code
        assert ("No run is worth its cost: all of these leave" in " ".join(done.stdout.split())) == bool(code)
        assert ("Would add 1 run" in done.stdout) != bool(code)
    assert len(runs_of(folder / "sweep")) == 2


def test_add_skips_existing_runs_and_too_large_shares(world, swept):
    shutil.copytree(swept[0] / "sweep", world / "sweep")
    shutil.copy(swept[0] / "kis.yaml", world)
    before = [run.name for run in runs_of(world / "sweep")]
    arguments = ["sweep", "add", "sweep", "--frequency", "8,12,5000", "--seeds", "2", "--json"]
    dry = json.loads(kis(world, *arguments, "--dry-run").stdout)
    assert [run.name for run in runs_of(world / "sweep")] == before
    report = json.loads(kis(world, *arguments).stdout)
    assert report == dry
    added = [run for run in runs_of(world / "sweep") if run.name not in before]
    assert sorted((run.frequency, run.recipe.seed) for run in added) == [(8, 1), (12, 0), (12, 1)]
    assert sorted(run.name for run in added) == sorted(report["added"])
    assert [name.partition("-F")[2] for name in report["left_out"]] == ["5000-seed0", "5000-seed1"]
    again = kis(world, *arguments[:-1])
    assert again.returncode == 1
    assert "Nothing to add" in again.stdout
    refused = kis(world, "sweep", "add", "sweep", "--sizes", "1k", "--frequency", "8")
    assert refused.returncode == 2
    assert "smaller vocabulary" in refused.stderr


def test_next_refuses_a_sweep_with_unfinished_runs(world, swept):
    shutil.copytree(swept[0] / "sweep", world / "sweep")
    shutil.copy(swept[0] / "kis.yaml", world)
    assert kis(world, "sweep", "next", "sweep", "--target", "1M", "-k", "2").returncode == 0
    runs = runs_of(world / "sweep")
    assert len(runs) > 2
    again = kis(world, "sweep", "next", "sweep", "--target", "1M")
    assert again.returncode == 2
    assert "Finish them first, with kis sweep run" in again.stderr
    assert runs_of(world / "sweep") == runs


STOPPED = """
import os, sys
from pathlib import Path
from kis_hf import callback
from kis_hf.sweep_training import train
from kis_sweep.run_spec_file import read_sweep_run

on_save, saves = callback.KnowledgeInfusion.on_save, []
def stop(self, *words, **keys):
    on_save(self, *words, **keys)
    saves.append(1)
    if len(saves) == 2:
        os._exit(9)
callback.KnowledgeInfusion.on_save = stop
train(read_sweep_run(Path(sys.argv[1]), sys.argv[2]))
"""


def test_damaged_newest_checkpoints_and_logs_are_named_and_passed_over(world, capfd):
    from kis_sweep.worker import main

    plan(world, "--no-time", "--no-uninfused")
    (run,) = runs_of(world / "sweep")
    ended = subprocess.run([sys.executable, "-c", STOPPED, str(run.sweep), run.name], env=environment(), check=False)
    assert ended.returncode == 9
    before, newest = sorted(run.checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    shutil.copytree(world, world.with_name("copy"))
    (exposures,) = run.logs.glob(f"*/exposures-{newest.name.rpartition('-')[2]}.npz")
    exposures.write_bytes(b"")
    assert main(str(run.sweep), run.name) == 0
    assert f"kis: {newest} is not whole (its exposures" in capfd.readouterr().err
    end = logs_of(world / "sweep")[run.name][-1]
    assert (end["status"], end["starts"]) == ("completed", 2)
    assert end["achieved_frequency"] == {"min": 8, "max": 8, "mean": 8}
    assert "counted_from_step" not in end
    # The same with a torn model and a damaged log: the run goes on from the checkpoint before, in a new log.
    run = runs_of(world.with_name("copy") / "sweep")[0]
    model = run.checkpoints / newest.name / "model.safetensors"
    model.write_bytes(model.read_bytes()[:1000])
    (log,) = run.logs.glob("*/kis.jsonl")
    log.write_bytes(b"garbage\n{}\n" + log.read_bytes())
    assert main(str(run.sweep), run.name) == 0
    said = capfd.readouterr().err
    assert f"kis: {run.name}: its log is damaged and was moved to {run.work / 'damaged'}" in said
    assert f"kis: {model.parent} is not whole (model.safetensors " in said
    first, *_, end = logs_of(run.sweep)[run.name]
    assert (first["type"], end["status"], end["starts"]) == ("run", "completed", 2)
    assert end["achieved_frequency"] == {"min": 8, "max": 8, "mean": 8}


def test_incomplete_checkpoint_is_skipped(world):
    """A kill while a checkpoint is written leaves a folder without the files that are written last."""
    from kis_hf.sweep_training import train

    plan(world, "--no-time", "--no-uninfused")
    (run,) = runs_of(world / "sweep")
    torn = run.checkpoints / "checkpoint-3"
    torn.mkdir(parents=True)
    (torn / "model.safetensors").write_bytes(b"torn")
    (run.checkpoints / "checkpoint-of mine").mkdir()
    train(run)
    assert not run.checkpoints.exists()
    assert logs_of(world / "sweep")[run.name][-1]["status"] == "completed"


def test_interrupted_sweep_ends_as_an_uninterrupted_one(world, tmp_path_factory):
    longer = ("--tokens-per-param", "8")  # some seconds per run, so that it can be interrupted
    plan(world, *longer)
    settings = yaml.safe_load((world / "sweep" / "sweep.yaml").read_text())
    assert settings["training"]["saves"] == 4
    process = begin_and_await_a_checkpoint(world, "--jobs", "1")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert "Interrupted. To continue from the last checkpoints: kis sweep run sweep\n" in said
    assert list(world.glob("sweep/work/*/checkpoints"))
    assert not list(world.glob("sweep/work/*/failed.txt"))
    done = kis(world, "sweep", "run", "sweep")
    assert done.returncode == 0, done.stderr
    whole = tmp_path_factory.mktemp("unbroken")
    sweep_whole(whole, *longer)
    assert ends_of(world / "sweep") == ends_of(whole / "sweep")


def test_failed_run_is_named_and_the_others_finish(world):
    plan(world, "--no-time")
    name = runs_of(world / "sweep")[0].name
    path = world / "sweep" / "configs" / name / "run.yaml"
    path.write_text(path.read_text().replace("framework: hf", "framework: kers"))
    done = kis(world, "sweep", "run", "sweep")
    assert done.returncode == 1
    assert f"  {name}: " in done.stdout
    assert "found 'kers', expected one of the installed frameworks" in done.stdout
    assert "Finished 1 run." in done.stdout


@pytest.mark.parametrize(
    ("engine", "needed"), [(["ray"], "ray"), (["slurm", "--cluster", "local"], "submitit")], ids=["ray", "slurm"]
)
def test_other_engines_log_the_same_as_the_local_one(world, swept, engine, needed):
    pytest.importorskip(needed)
    plan(world)
    done = kis(world, "sweep", "run", "sweep", "--engine", *engine)
    assert done.returncode == 0, done.stderr
    assert logs_of(world / "sweep") == logs_of(swept[0] / "sweep")
