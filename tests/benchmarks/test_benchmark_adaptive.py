"""The benchmark of adaptive sweeps: costs add up, runs are drawn at what was requested, stages are all there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.adaptive import Stage, main
from benchmarks.predict import SHAPES, simulate


def test_stages_cost_more_and_more_and_the_full_grid_costs_all(tmp_path, capsys):
    assert main(["--sweeps", "1", "--waves", "2", "--bootstraps", "50", "--json", str(tmp_path / "found.json")]) == 0
    stages = [Stage(**one) for one in json.loads((tmp_path / "found.json").read_text())]
    assert [stage.wave for stage in stages] == [-1, 0, 1, 2]
    assert stages[0].cost == pytest.approx(1)
    # Five of twelve frequencies of each size.
    assert stages[1].cost == pytest.approx(5 / 12)
    assert stages[1].cost < stages[2].cost < stages[3].cost
    assert "after wave 2" in capsys.readouterr().out


def test_a_run_that_is_drawn_later_is_of_the_same_curve():
    """Means of many draws at a frequency of the grid are near what the grid's own runs say there."""
    case = simulate(np.random.default_rng(3), SHAPES[0], 0.5, noise=0.016)
    for run in case.runs[::7]:
        draws = [case.draw(run.params, run.frequency) for _ in range(200)]
        assert abs(np.mean(draws) - run.retention) < 0.06
