"""Adds runs to a sweep: those that the predictor recommends, or those that its user names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.registry import registered
from kis_plugin.tokenized.load_tokenizer import load_tokenizer
from kis_predict.design.next_runs import worth_its_cost
from kis_predict.pipeline import PredictionRequest, predict
from kis_predict.prediction import NextRun, Prediction
from kis_predict.readers.gather import gather
from kis_sweep.folder import locked, runs_of, states_of
from kis_sweep.grid import Cell
from kis_sweep.plan import Base, above_max_share, runs_for, unfit, write_run
from kis_sweep.run_spec import SweepRun
from kis_sweep.settings import Settings, settings_of

__all__ = ["AddedRuns", "add_runs", "next_runs_of", "requested_runs"]


@dataclass(frozen=True)
class AddedRuns:
    """Runs added to a sweep, and the cost of the sweep with them.

    Attributes:
        prediction: Prediction from the finished runs; None if the user named the runs.
        added: The new runs.
        left_out: Requested runs whose share is too large for the predictor to use.
        unfit: Names of requested runs whose facts do not fit into their rows, each with the amount that does.
        flops: FLOPs of all runs of the sweep, including the new ones.
        grid_flops: FLOPs of the full grid as planned.
    """

    prediction: Prediction | None
    added: tuple[SweepRun, ...]
    left_out: tuple[SweepRun, ...]
    unfit: Mapping[str, str]
    flops: float
    grid_flops: float


@dataclass(frozen=True)
class Added:
    """Outcome of adding requested runs.

    Attributes:
        runs: Runs that the sweep did not have.
        left_out: Runs whose share is too large for the predictor to use.
        unfit: Names of runs whose facts do not fit into their rows, each with the amount that does.
    """

    runs: tuple[SweepRun, ...]
    left_out: tuple[SweepRun, ...]
    unfit: Mapping[str, str]


def add_runs(sweep: Path, cells: Sequence[Cell], dry_run: bool, refuse: bool) -> Added:
    """Add those runs of some cells that a sweep does not have.

    Args:
        sweep: Folder of the sweep.
        cells: Cells of the requested runs.
        dry_run: Return the runs without adding them.
        refuse: Whether an amount that does not fit raises an error, rather than being left out.

    Raises:
        KISError: The sweep is invalid, or ``refuse`` is set and an amount does not fit.
    """
    settings, base = settings_of(sweep), Base.read(sweep / "kis.yaml")
    existing = {run.name for run in runs_of(sweep)}
    runs = runs_for(sweep, cells, settings.training)
    left_out = {run.name: run for run in above_max_share(runs, settings.exposure)}
    new = tuple({run.name: run for run in runs if run.name not in existing | left_out.keys()}.values())
    misfits = dict[str, str]()
    for run, error in unfit(new, base, load_tokenizer(str(sweep / "data" / "tokenizer"))) if new else ():
        if refuse:
            raise error
        misfits[run.name] = str(error)
    new = tuple(run for run in new if run.name not in misfits)
    for run in () if dry_run else new:
        write_run(run, base, sweep)
    return Added(new, tuple(left_out.values()), misfits)


def next_runs_of(sweep: Path, target: int, count: int, new_sizes: bool, dry_run: bool) -> AddedRuns:
    """Add the runs that would narrow the prediction for a model size most; none where they would hardly narrow it.

    Args:
        sweep: Folder of the sweep.
        target: Size N of the large model, in parameters.
        count: Maximum number of runs to add.
        new_sizes: Whether sizes that the sweep does not have are allowed.
        dry_run: Return the runs without adding them.

    Raises:
        KISError: The sweep or one of its logs is invalid, or some of its runs are not finished.
    """
    with locked(sweep):
        settings, runs = settings_of(sweep), runs_of(sweep)
        if new_sizes and settings.training.models:
            found = "a sweep that continues from trained models"
            raise KISError(Problem("--new-sizes", found, "the sizes of these models", "Remove the option."))
        states = states_of(runs)
        unfinished = [state.run.name for state in states if state.state in ("running", "interrupted", "waiting")]
        if unfinished:
            found = f"{len(unfinished)} unfinished run{'' if len(unfinished) == 1 else 's'}, such as {unfinished[0]}"
            hint = "Finish them first, with kis sweep run."
            raise KISError(Problem(str(sweep), found, "finished runs, from which the predictor can learn", hint))
        logs = [str(state.log.path) for state in states if state.log and state.state == "finished"]
        found_runs = gather(logs, registered("log_readers")).runs if logs else ()
        request = PredictionRequest(params=target, next_runs=count, new_sizes=new_sizes, per_flop=True)
        prediction = predict(found_runs, request, registered("laws"))
        # Runs that hardly narrow the answer cost as much as those that do: then the sweep is done.
        worth = prediction.next_runs if worth_its_cost(prediction.next_runs) else ()
        return _add(prediction, _cells(worth, runs, settings), runs, settings, sweep, dry_run)


def requested_runs(
    sweep: Path, sizes: Sequence[int] | None, frequencies: Sequence[float], seeds: int, dry_run: bool
) -> AddedRuns:
    """Add runs of given sizes and frequencies, except those that the sweep has or whose share is too large.

    Args:
        sweep: Folder of the sweep.
        sizes: Model sizes in parameters; None for all sizes of the sweep.
        frequencies: Exposures per fact.
        seeds: Number of seeds per frequency, counted from 0.
        dry_run: Return the runs without adding them.

    Raises:
        KISError: The sweep is invalid, or it cannot have one of the sizes.
    """
    with locked(sweep):
        settings, runs = settings_of(sweep), runs_of(sweep)
        chosen = sorted(_requested_sizes(settings, runs).values()) if sizes is None else sizes
        cells = [Cell(size, frequency, seed) for size in chosen for frequency in frequencies for seed in range(seeds)]
        return _add(None, cells, runs, settings, sweep, dry_run)


def _add(
    prediction: Prediction | None,
    cells: Sequence[Cell],
    runs: Sequence[SweepRun],
    settings: Settings,
    sweep: Path,
    dry_run: bool,
) -> AddedRuns:
    """Add the runs of some cells and sum up what the sweep then costs."""
    # A run that the predictor recommends and that does not fit is left out: the user made no mistake.
    added = add_runs(sweep, cells, dry_run, refuse=prediction is None)
    grid = runs_for(sweep, settings.grid, settings.training)
    flops = sum(run.flops for run in (*runs, *added.runs))
    return AddedRuns(prediction, added.runs, added.left_out, added.unfit, flops, sum(run.flops for run in grid))


def _cells(recommended: Sequence[NextRun], runs: Sequence[SweepRun], settings: Settings) -> list[Cell]:
    """Return recommended runs as cells with whole exposures; a cell that exists already gets the next free seed."""
    requested = _requested_sizes(settings, runs)
    taken = {(run.shape.params, run.frequency, run.recipe.seed) for run in runs}
    cells = []
    for run in recommended:
        frequency, seed = float(max(round(run.frequency), 1)), 0
        while (run.params, frequency, seed) in taken:
            seed += 1
        taken.add((run.params, frequency, seed))
        cells.append(Cell(requested.get(run.params, run.params), frequency, seed))
    return cells


def _requested_sizes(settings: Settings, runs: Sequence[SweepRun]) -> dict[int, int]:
    """Return the sizes of the sweep: N of each shape, with the size that was requested for it where that is known."""
    cells = [Cell(size, 1.0, 0) for size in sorted({cell.size for cell in settings.grid})]
    planned = zip(cells, runs_for(Path(), cells, settings.training), strict=True)
    actual = {run.shape.params: run.shape.params for run in runs}
    return actual | {run.shape.params: cell.size for cell, run in planned}
