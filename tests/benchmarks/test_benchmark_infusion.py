"""The benchmark of infusion, as far as it goes without peers: what it counts, and that KIS passes its own measure."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.infusion import main
from benchmarks.mixers import MIXERS, Workload
from benchmarks.mixers.contract import missing
from benchmarks.mixers.exactness import Exactness, Run, measure

WORKLOAD = Workload("small", rows=96, facts=6, frequency=5)


def run(exposures: list[tuple[int, int]], seed: int = 0, world: int = 1) -> Run:
    table = np.array(exposures, dtype=np.int64)
    batches = np.array(sorted((row // 32, fact) for row, fact in exposures), dtype=np.int64)
    return Run(WORKLOAD, world, seed, workers=0, resumed=False, rows=96, exposures=table, by_batch=batches)


def test_gaps_vary_by_their_standard_deviation():
    periodic = run([(row, 0) for row in range(0, 90, 10)])
    uneven = run([(0, 0), (10, 0), (40, 0)])  # gaps of 10 and 30: mean 20, standard deviation 10
    assert periodic.gap_variation == 0
    assert uneven.gap_variation == pytest.approx(0.5)


def test_one_exposure_too_many_is_not_exact():
    found = Exactness([run([(row, fact) for fact in range(6) for row in range(5)] + [(80, 3)])])
    assert found.least_and_most(WORKLOAD) == (5, 6)
    assert found.exact(WORKLOAD) == pytest.approx(5 / 6)


def test_runs_are_the_same_only_if_every_batch_shows_the_same():
    one, moved = [(3, 0), (40, 1)], [(35, 0), (40, 1)]
    assert Exactness([run(one), run([(4, 0), (41, 1)], world=2)]).same_at_any("world")
    assert not Exactness([run(one), run(moved, world=2)]).same_at_any("world")
    assert Exactness([run(one), run(moved, seed=1)]).same_at_any("world")


@pytest.mark.slow
def test_two_processes_show_each_fact_as_requested():
    found = measure("KIS", seeds=1, workloads=[WORKLOAD], worlds=(1, 2))
    assert not found.failure
    assert found.least_and_most(WORKLOAD) == (5, 5)
    assert {run.rows for run in found.runs} == {96}
    assert all(found.same_at_any(what) for what in ("world", "workers", "resumed"))


def test_a_peer_that_is_not_installed_has_no_figures(capsys, monkeypatch, tmp_path):
    peer = MIXERS["litdata, weights"]
    monkeypatch.setattr(type(peer), "modules", ("no_such_module",))
    assert missing(peer) == ["no_such_module"]
    assert main(["--only", "exactness", "--mixer", peer.name, "--json", str(tmp_path / "figures.json")]) == 0
    assert f"{peer.name}: not measured, not installed: no_such_module" in capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["exactness"] == {}
    assert figures["missing"][peer.name] == ["no_such_module"]
