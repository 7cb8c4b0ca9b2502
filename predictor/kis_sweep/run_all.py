"""Runs what is still to be run: finished ones never again, killed ones from where they were, failed ones twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_sweep.engines import Engine, Places
from kis_sweep.folder import State, damage_of, failure_of, finished_log, locked, runs_of, states_of
from kis_sweep.run_spec import SweepRun

__all__ = ["Result", "run_sweep"]

_TRIES = 2


@dataclass(frozen=True)
class Result:
    """What came of it.

    Attributes:
        finished: Runs that were finished now.
        before: Runs that had been already.
        failed: Those that failed twice, or whose configuration is wrong, with the reason.
    """

    finished: int
    before: int
    failed: tuple[State, ...]


def run_sweep(
    sweep: Path,
    engine: Engine,
    places: Places,
    ended: Callable[[SweepRun, int], None],
    only: Sequence[str] = (),
    broken: list[Problem] | None = None,
) -> Result:
    """Run all that is not finished, the longest first.

    A run that fails is tried a second time when all others have ended, unless its configuration is wrong.

    Args:
        sweep: The folder.
        engine: Who runs them.
        places: What each run gets.
        ended: Told of each run that ends, and its exit code.
        only: Names of runs; by default all.
        broken: Takes what is wrong with single runs, which are left out; else it is raised.

    Raises:
        KISError: No sweep, names that it does not have, or another process that runs it.
    """
    runs = _chosen(runs_of(sweep, broken), only)
    with locked(sweep):
        unfinished = [run for run in runs if finished_log(run) is None]
        # What a damaged log says is not thrown away: its run is told as failed, and the others go on.
        waiting = [run for run in unfinished if not damage_of(run)]
        _refuse_missing(sweep, waiting)
        before = len(runs) - len(unfinished)
        for run in waiting:
            failure_of(run).unlink(missing_ok=True)  # of an earlier time: it is tried anew
        todo = sorted(waiting, key=lambda run: -run.flops)
        for _ in range(_TRIES):
            again = []
            for run, code in engine(todo, places) if todo else ():
                ended(run, code)
                if code not in (0, KISError.exit_code):
                    again.append(run)
            todo = again
        states = states_of(unfinished)
    return Result(
        finished=sum(state.state == "finished" for state in states),
        before=before,
        failed=tuple(state for state in states if state.state != "finished"),
    )


def _refuse_missing(sweep: Path, runs: Sequence[SweepRun]) -> None:
    """Refuse to begin where what all runs read is not there."""
    places = {place for run in runs for place in (run.rows, run.held_out_rows, run.tokenizer)}
    hint = "Plan it anew: the same options give the same files."
    missing = [
        Problem(str(place), "nothing there", f"what the runs of {sweep.name} read", hint)
        for place in sorted(places)
        if not place.exists()
    ]
    if missing:
        raise KISError(missing)


def _chosen(runs: Sequence[SweepRun], only: Sequence[str]) -> list[SweepRun]:
    have = {run.name for run in runs}
    problems = [
        Problem("--only", name, "the name of a run, as kis sweep status shows") for name in only if name not in have
    ]
    if problems:
        raise KISError(problems)
    return [run for run in runs if not only or run.name in only]
