"""``kis count --engine``: datatrove's executors give the numbers of one process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("ahocorasick_rs")

from kis_plugin.cli.main import main
from kis_plugin.counting import texts

FACTS = [("Ada", "London"), ("Bob", "Rome"), ("Eve", "Rome")]
TEXT = "Ada was born in London. Bob likes Rome.\fAda\n\nLondon. Rome fell.\fNothing at all."


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"subject": one, "relation": "P19", "object": other}) for one, other in FACTS]
    Path("facts.jsonl").write_text("\n".join(lines))
    Path("base").mkdir()
    for number in range(6):
        Path(f"base/{number}.txt").write_text(TEXT * (number + 1))
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(main, ["count", "facts.jsonl", *arguments])


def written(name: str) -> tuple[dict, list[dict]]:
    about, *facts = [json.loads(line) for line in Path(name).read_text().splitlines()]
    return about, facts


def engine_runs(name: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run it in a process of its own: datatrove's workers start from the main module."""
    command = [sys.executable, "-m", "kis_plugin.cli.main", "count", "facts.jsonl", "base", "-o", f"{name}.jsonl"]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.run(
        [*command, "--engine", name, "--work", "work", "--workers", "2", *more],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        timeout=300,
    )


def finished_on_slurm(name: str) -> subprocess.CompletedProcess[str]:
    """Queue the tasks, wait until each has a result, and collect them."""
    done = engine_runs(name, "--slurm", "time=0:10:00", "--slurm", "partition=all")
    assert "The tasks are queued" in done.stdout, done.stderr[-3000:]
    until = time.monotonic() + 240
    while len(list(Path("work/counts").glob("*.npz"))) < 6 and time.monotonic() < until:
        time.sleep(1)
    return engine_runs(name, "--slurm", "time=0:10:00", "--slurm", "partition=all")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("sinfo"), reason="no SLURM is available here; .ci/slurm starts one")
def test_slurm_counts_as_one_process_does(here):
    pytest.importorskip("datatrove")
    if subprocess.run(["timeout", "10", "sinfo"], capture_output=True).returncode:
        pytest.skip("SLURM does not answer; .ci/slurm starts it")
    assert run("base", "-o", "plain.jsonl").exit_code == 0
    done = finished_on_slurm("slurm")
    assert done.returncode == 0, done.stderr[-3000:]
    assert written("slurm.jsonl") == written("plain.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "ray"])
def test_the_counts_are_those_of_one_process(here, name):
    pytest.importorskip("datatrove")
    if name == "ray":
        pytest.importorskip("ray")
    assert run("base", "-o", "plain.jsonl").exit_code == 0
    done = engine_runs(name)
    assert done.returncode == 0, done.stderr[-3000:]
    assert written(f"{name}.jsonl") == written("plain.jsonl")
    # Two tasks are lost, as in a crash: they alone are counted again.
    kept = {path: path.stat().st_mtime_ns for path in Path("work/counts").iterdir()}
    for rank in (1, 4):
        Path(f"work/counts/{rank:06}.npz").unlink()
        Path(f"work/datatrove/completions/{rank:05}").unlink()
    Path(f"{name}.jsonl").unlink()
    assert engine_runs(name).returncode == 0
    assert written(f"{name}.jsonl") == written("plain.jsonl")
    again = {path for path in Path("work/counts").iterdir() if kept[path] != path.stat().st_mtime_ns}
    assert {path.name for path in again} == {"000001.npz", "000004.npz"}


class Here:
    """Runs every task in this process: an executor for what is refused around them."""

    def __init__(self, pipeline, tasks):
        self.pipeline, self.tasks = pipeline, tasks

    def run(self):
        for rank in range(self.tasks):
            self.pipeline[0](None, rank, self.tasks)


@pytest.fixture
def in_this_process(monkeypatch):
    from kis_plugin.counting import engine

    engine._pieces_in.cache_clear()
    monkeypatch.setitem(engine.ENGINES, "local", lambda _, pipeline, tasks: Here(pipeline, tasks))
    monkeypatch.setitem(engine.ENGINES, "slurm", lambda *_: Here([lambda *_: ()], 0))


ENGINE = ("--engine", "local", "--work", "work")


def test_pieces_of_files_are_added_up_in_order(here, in_this_process, monkeypatch):
    monkeypatch.setattr(texts, "PIECE", 100)
    assert run("base", "-o", "plain.jsonl").exit_code == 0
    assert run("base", "-o", "counts.jsonl", *ENGINE).exit_code == 0
    assert written("counts.jsonl") == written("plain.jsonl")


@pytest.mark.parametrize(
    "change",
    [
        lambda: Path("base/0.txt").write_text(TEXT + "more"),
        lambda: Path("base/6.txt").write_text(TEXT),
        lambda: Path("base/5.txt").unlink(),
        lambda: os.utime("base/2.txt", ns=(1, 1)),
    ],
    ids=["longer", "added", "removed", "rewritten"],
)
def test_text_that_changed_since_is_refused(here, in_this_process, change):
    assert run("base", "-o", "counts.jsonl", *ENGINE).exit_code == 0
    change()
    done = run("base", "-o", "other.jsonl", *ENGINE)
    assert done.exit_code == 2
    assert "files that changed since" in done.stderr
    assert not Path("other.jsonl").exists()


def test_other_facts_do_not_take_the_results_of_the_first(here, in_this_process):
    """Results are numbers of names: with other facts they would be counts of something else."""
    assert run("base", "-o", "counts.jsonl", *ENGINE).exit_code == 0
    Path("facts.jsonl").write_text(json.dumps({"subject": "Eve", "relation": "P19", "object": "Rome"}) + "\n")
    done = run("base", "-o", "other.jsonl", *ENGINE)
    assert done.exit_code == 2
    assert "a count of other facts" in done.stderr
    assert not Path("other.jsonl").exists()


@pytest.mark.parametrize(
    "damage", [{"entities": [99]}, {"in_windows": [-1]}, {"pairs": [0.5]}, {"together": [1, 1, 1]}]
)
def test_results_that_are_no_counts_of_these_facts_are_named(here, in_this_process, damage):
    assert run("base", "-o", "counts.jsonl", *ENGINE).exit_code == 0
    from kis_plugin.counting.engine import ENGINES

    ENGINES["local"] = lambda *_: Here([lambda *_: ()], 0)
    path = Path("work/counts/000002.npz")
    arrays = dict(np.load(path))
    np.savez(path, **(arrays | {name: np.array(values) for name, values in damage.items()}))
    done = run("base", "-o", "other.jsonl", *ENGINE)
    assert (done.exit_code, "000002.npz: found a damaged result" in done.stderr) == (2, True)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[" * 100_000])
def test_a_damaged_list_of_pieces_is_named(here, in_this_process, raw):
    Path("work").mkdir()
    Path("work/pieces.json").write_bytes(raw)
    done = run("base", "-o", "counts.jsonl", *ENGINE)
    assert (done.exit_code, "pieces.json: found no JSON" in done.stderr) == (2, True)


def test_queued_tasks_leave_no_file_and_say_what_to_do(here, in_this_process):
    done = run("base", "-o", "counts.jsonl", "--engine", "slurm", "--work", "work")
    assert done.exit_code == 0
    assert "Run the same command again" in done.stdout
    assert not Path("counts.jsonl").exists()


def test_a_damaged_result_is_named(here, in_this_process):
    assert run("base", "-o", "counts.jsonl", *ENGINE).exit_code == 0
    from kis_plugin.counting.engine import ENGINES

    ENGINES["local"] = lambda *_: Here([lambda *_: ()], 0)
    Path("work/counts/000002.npz").write_bytes(b"damaged")
    done = run("base", "-o", "other.jsonl", *ENGINE)
    assert done.exit_code == 2
    assert "000002.npz" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--engine", "local"), ("--work", "w"), ("--engine", "local", "--work", "w", "--slurm", "time=1")],
)
def test_options_that_do_not_go_together_are_refused(here, arguments):
    assert run("base", "-o", "counts.jsonl", *arguments).exit_code == 2


def test_a_missing_package_is_named_with_its_extra(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "datatrove", None)
    monkeypatch.setitem(sys.modules, "datatrove.executor.local", None)
    done = run("base", "-o", "counts.jsonl", *ENGINE)
    assert done.exit_code == 2
    assert "kis-plugin[corpus]" in done.stderr
