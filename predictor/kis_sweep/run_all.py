"""Executes the runs of a sweep: skips finished ones, continues interrupted ones, and retries failed ones once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import to_stderr
from kis_sweep.engines import Engine, Resources
from kis_sweep.folder import State, damaged_logs, failure_of, finished_log, locked, runs_of, states_of
from kis_sweep.run_spec import SweepRun

__all__ = ["Result", "run_sweep"]

_TRIES = 2


@dataclass(frozen=True)
class Result:
    """Outcome of running a sweep.

    Attributes:
        finished: Number of runs that finished now.
        before: Number of runs that had finished before.
        failed: Runs that did not finish, each with the reason.
    """

    finished: int
    before: int
    failed: tuple[State, ...]


def run_sweep(
    sweep: Path,
    engine: Engine,
    resources: Resources,
    ended: Callable[[SweepRun, int], None],
    only: Sequence[str] = (),
    broken: list[Problem] | None = None,
    notify: Callable[[str], None] = to_stderr,
) -> Result:
    """Execute all runs that are not finished, the most expensive first.

    A run that fails is retried once after all others have ended, unless its configuration is wrong.

    Args:
        sweep: Folder of the sweep.
        engine: Executes the runs.
        resources: Resources of each run.
        ended: Called with each run that ends, and its exit code.
        only: Names of runs; all by default.
        broken: Collects the problems of unreadable runs, which are then left out; if None, they are raised.
        notify: Called with a line for each damaged log.

    Raises:
        KISError: The folder holds no sweep, a name is unknown, or another process runs the sweep.
    """
    runs = _chosen(runs_of(sweep, broken), only)
    with locked(sweep):
        unfinished = [run for run in runs if finished_log(run) is None]
        waiting = []
        for run in unfinished:
            damaged = damaged_logs(run)
            for problem, mends in damaged.values():
                then = "It is set aside, and the run goes on from its last checkpoint." if mends else "It is left out."
                notify(f"kis: {run.name}: its log is damaged: {problem}. {then}")
            if all(mends for _, mends in damaged.values()):
                waiting.append(run)
        _refuse_missing(sweep, waiting)
        before = len(runs) - len(unfinished)
        for run in waiting:
            failure_of(run).unlink(missing_ok=True)  # the reason of an earlier failure; the run is tried again
        todo = sorted(waiting, key=lambda run: -run.flops)
        for _ in range(_TRIES):
            failed = []
            for run, code in engine(todo, resources) if todo else ():
                ended(run, code)
                if code not in (0, KISError.exit_code):
                    failed.append(run)
            todo = failed
        states = states_of(unfinished)
    return Result(
        finished=sum(state.state == "finished" for state in states),
        before=before,
        failed=tuple(state for state in states if state.state != "finished"),
    )


def _refuse_missing(sweep: Path, runs: Sequence[SweepRun]) -> None:
    """Refuse to start if data that all runs share is missing."""
    paths = {path for run in runs for path in (run.rows, run.held_out_rows, run.tokenizer)}
    hint = "Plan the sweep again: the same options write the same files."
    missing = [
        Problem(str(path), "no such file", f"data that the runs of {sweep.name} read", hint)
        for path in sorted(paths)
        if not path.exists()
    ]
    if missing:
        raise KISError(missing)


def _chosen(runs: Sequence[SweepRun], only: Sequence[str]) -> list[SweepRun]:
    known = {run.name for run in runs}
    problems = [
        Problem("--only", name, "the name of a run, as kis sweep status shows it") for name in only if name not in known
    ]
    if problems:
        raise KISError(problems)
    return [run for run in runs if not only or run.name in only]
