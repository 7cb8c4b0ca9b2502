"""A sweep's folder: its settings, its runs, and how far each has come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kis_plugin.errors import KISError, Problem
from kis_plugin.runlog import LOG_NAME, EmptyLogError, RunLog, read_run_log
from kis_plugin.sweep_run import SweepRun, read_sweep_run

__all__ = ["SETTINGS", "State", "failure_of", "finished_log", "read_settings", "runs_of", "states_of"]

SETTINGS = "sweep.yaml"
_FAILED = "failed.json"


@dataclass(frozen=True)
class State:
    """How far a run has come.

    Attributes:
        run: Which.
        state: ``finished``, ``failed``, ``begun`` or ``waiting``.
        log: Its run log, if it has one.
        reason: Why it failed; empty otherwise.
    """

    run: SweepRun
    state: str
    log: RunLog | None = None
    reason: str = ""


def read_settings(sweep: Path) -> Mapping[str, Any]:
    """Return what the sweep was planned with.

    Raises:
        KISError: No sweep was planned there.
    """
    path = sweep / SETTINGS
    if not path.is_file():
        hint = "kis sweep plan makes one."
        raise KISError(Problem(str(sweep), f"no {SETTINGS}", "the folder of a sweep", hint))
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise KISError(Problem(str(path), "no mapping", "the settings of a sweep"))
    return values


def runs_of(sweep: Path) -> list[SweepRun]:
    """Return all runs that are planned, by size, frequency and seed.

    Raises:
        KISError: What is wrong with any of them, all of it at once.
    """
    read_settings(sweep)
    problems: list[Problem] = []
    runs: list[SweepRun] = []
    for path in sorted((sweep / "configs").glob("*/run.yaml")):
        try:
            runs.append(read_sweep_run(sweep, path.parent.name))
        except KISError as error:
            problems += error.problems
    if problems:
        raise KISError(problems)
    return sorted(runs, key=lambda run: (run.shape.params, run.frequency, run.recipe.seed))


def states_of(runs: list[SweepRun]) -> list[State]:
    """Return how far each run has come, from what lies in the folder."""
    return [_state(run) for run in runs]


def finished_log(run: SweepRun) -> RunLog | None:
    """Return the log of a run that came to its end, None if there is none."""
    return next((log for log in _logs(run) if log.end and log.end.status == "completed"), None)


def failure_of(run: SweepRun) -> Path:
    """Return the file that says why a run failed; it is there only if it did."""
    return run.work / _FAILED


def _state(run: SweepRun) -> State:
    logs = _logs(run)
    done = next((log for log in logs if log.end and log.end.status == "completed"), None)
    if done:
        return State(run, "finished", done)
    log = logs[-1] if logs else None
    failure = failure_of(run)
    if failure.is_file():
        return State(run, "failed", log, str(json.loads(failure.read_text(encoding="utf-8"))["reason"]))
    return State(run, "begun" if log else "waiting", log)


def _logs(run: SweepRun) -> list[RunLog]:
    """Return the run's logs that hold a line, the latest last."""
    logs = []
    for path in sorted(run.logs.glob(f"*/{LOG_NAME}"), key=lambda path: path.stat().st_mtime):
        try:
            logs.append(read_run_log(path))
        except EmptyLogError:
            continue
    return logs
