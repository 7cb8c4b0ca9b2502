"""The benchmark of counting: both sides count the same, and the CPU time of all their processes is in the figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.counting import write_text

ROOT = Path(__file__).parents[2]


def test_text_is_cut_into_files_of_whole_characters(tmp_path):
    write_text(tmp_path / "text", 33.5)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "text").iterdir())]
    assert sizes == [pytest.approx(32e6, abs=3), pytest.approx(1.5e6, abs=3)]
    assert (tmp_path / "text" / "0001.txt").read_text("utf-8")


@pytest.mark.slow
def test_both_sides_count_the_same_and_all_their_processes_are_timed(tmp_path):
    pytest.importorskip("datatrove")
    # In a process of its own: it becomes the parent of what its commands leave behind.
    line = [sys.executable, "-m", "benchmarks", "counting", "--megabytes", "3", "--runs", "1"]
    done = subprocess.run([*line, "--json", str(tmp_path / "figures.json")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    (plain,), (engine,) = figures["seconds"].values()
    assert plain > 0.3  # to import, to read the facts and to count
    assert engine > plain  # it imports datatrove in addition, in the command and in the task
    assert figures["ratios"] == [engine / plain]
