"""More runs for a sweep: the next wave that the predictor asks for, or what its user wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.registry import registered
from kis_predict.pipeline import PredictionRequest, predict
from kis_predict.prediction import NextRun, Prediction
from kis_predict.readers.gather import gather
from kis_sweep.folder import locked, runs_of, states_of
from kis_sweep.grid import Cell
from kis_sweep.plan import runs_for
from kis_sweep.planning import Settings, add_runs, settings_of
from kis_sweep.run_spec import SweepRun

__all__ = ["Wave", "next_runs_of", "wanted_runs"]


@dataclass(frozen=True)
class Wave:
    """What was asked for, and what the sweep then costs.

    Attributes:
        answer: The predictor's, from the runs that are finished; None where it was not asked.
        added: New runs.
        left_out: Runs that were wanted and leave less than a tenth to general text.
        unfit: Names of runs that were wanted and whose rows do not fit, with what does.
        flops: Of all runs of the sweep, the new ones too.
        grid_flops: Of the full grid that was planned.
    """

    answer: Prediction | None
    added: tuple[SweepRun, ...]
    left_out: tuple[SweepRun, ...]
    unfit: Mapping[str, str]
    flops: float
    grid_flops: float


def next_runs_of(sweep: Path, target: int, count: int, new_sizes: bool, dry_run: bool) -> Wave:
    """Add the runs that would help most to predict a size.

    Args:
        sweep: The folder.
        target: N of the large model.
        count: How many runs at most.
        new_sizes: Whether they may be of sizes that the sweep does not have.
        dry_run: Only say which.

    Raises:
        KISError: Anything wrong with the sweep or its logs.
    """
    with locked(sweep):
        settings, runs = settings_of(sweep), runs_of(sweep)
        if new_sizes and settings.training.models:
            found = "a sweep that goes on from trained models"
            raise KISError(Problem("--new-sizes", found, "the sizes of these", "Leave the option out."))
        states = states_of(runs)
        left = [state.run.name for state in states if state.state in ("running", "interrupted", "waiting")]
        if left:
            found = f"{len(left)} that are not finished, such as {left[0]}"
            hint = "kis sweep run finishes them."
            raise KISError(Problem(str(sweep), found, "runs that the predictor can learn from", hint))
        places = [str(state.log.path) for state in states if state.log and state.state == "finished"]
        found_runs = gather(places, registered("log_readers")).runs if places else ()
        request = PredictionRequest(params=target, next_runs=count, new_sizes=new_sizes, per_flop=True)
        answer = predict(found_runs, request, registered("laws"))
        return _wave(answer, _cells(answer.next_runs, runs, settings), runs, settings, sweep, dry_run)


def wanted_runs(
    sweep: Path, sizes: Sequence[int] | None, frequencies: Sequence[float], seeds: int, dry_run: bool
) -> Wave:
    """Add runs of some sizes and frequencies, those left out that the sweep has, or whose share is too great.

    Args:
        sweep: The folder.
        sizes: Of models, all of them the sweep's by default.
        frequencies: Exposures per fact.
        seeds: How many, from 0 on, each frequency is to have.
        dry_run: Only say which.

    Raises:
        KISError: Anything wrong with the sweep, or a size that it cannot have.
    """
    with locked(sweep):
        settings, runs = settings_of(sweep), runs_of(sweep)
        of = sorted(_asked(settings, runs).values()) if sizes is None else sizes
        cells = [Cell(size, frequency, seed) for size in of for frequency in frequencies for seed in range(seeds)]
        return _wave(None, cells, runs, settings, sweep, dry_run)


def _wave(
    answer: Prediction | None,
    cells: Sequence[Cell],
    runs: Sequence[SweepRun],
    settings: Settings,
    sweep: Path,
    dry_run: bool,
) -> Wave:
    # What the predictor asks for is no mistake of its user's.
    added = add_runs(sweep, cells, dry_run, refuse=answer is None)
    grid = runs_for(sweep, settings.grid, settings.training)
    flops = sum(run.flops for run in (*runs, *added.runs))
    return Wave(answer, added.runs, added.left_out, added.unfit, flops, sum(run.flops for run in grid))


def _cells(wanted: Sequence[NextRun], runs: Sequence[SweepRun], settings: Settings) -> list[Cell]:
    """Return wanted runs as cells: whole exposures; a cell that is there already gets the next seed."""
    asked = _asked(settings, runs)
    taken = {(run.shape.params, run.frequency, run.recipe.seed) for run in runs}
    cells = []
    for one in wanted:
        frequency, seed = float(max(round(one.frequency), 1)), 0
        while (one.params, frequency, seed) in taken:
            seed += 1
        taken.add((one.params, frequency, seed))
        cells.append(Cell(asked.get(one.params, one.params), frequency, seed))
    return cells


def _asked(settings: Settings, runs: Sequence[SweepRun]) -> dict[int, int]:
    """Return the sizes of the sweep, each shape's own N with what was asked for, where that is known."""
    cells = [Cell(size, 1.0, 0) for size in sorted({cell.size for cell in settings.grid})]
    planned = zip(cells, runs_for(Path(), cells, settings.training), strict=True)
    own = {run.shape.params: run.shape.params for run in runs}
    return own | {run.shape.params: cell.size for cell, run in planned}
