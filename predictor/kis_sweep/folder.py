"""A sweep's folder: its settings, its runs, and how far each has come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from kis_plugin.config.load import load_config
from kis_plugin.errors import KISError, Problem
from kis_plugin.run.log import LOG_NAME, EmptyLogError, RunLog, read_run_log
from kis_plugin.storage.yaml_nodes import Node, read_yaml
from kis_sweep.run_spec import SweepRun
from kis_sweep.run_spec_file import read_sweep_run

__all__ = [
    "SETTINGS",
    "State",
    "alone",
    "damage_of",
    "failure_of",
    "finished_log",
    "locked",
    "read_settings",
    "runs_of",
    "states_of",
]

SETTINGS = "sweep.yaml"
_FAILED = "failed.txt"
_LOCK, _MOMENT = ".lock", 1.0


@dataclass(frozen=True)
class State:
    """How far a run has come.

    Attributes:
        run: Which.
        state: ``finished``, ``failed``, ``running``, ``interrupted`` (it has begun, and no process trains it) or
            ``waiting``.
        log: Its run log, if it has one.
        reason: Why it failed; empty otherwise.
    """

    run: SweepRun
    state: str
    log: RunLog | None = None
    reason: str = ""


def read_settings(sweep: Path) -> Node:
    """Return what the sweep was planned with, as it stands in its file.

    Raises:
        KISError: No sweep was planned there.
    """
    path = sweep / SETTINGS
    if not path.is_file():
        hint = "kis sweep plan makes one."
        raise KISError(Problem(str(sweep), f"no {SETTINGS}", "the folder of a sweep", hint))
    return read_yaml(path, "the settings of a sweep")


def runs_of(sweep: Path, broken: list[Problem] | None = None) -> list[SweepRun]:
    """Return all runs that are planned, by size, frequency and seed.

    Args:
        sweep: The folder.
        broken: Takes what is wrong with single runs, which are then left out; else it is raised.

    Raises:
        KISError: No sweep; without ``broken``, what is wrong with any run, all of it at once.
    """
    read_settings(sweep)
    problems: list[Problem] = []
    runs: list[SweepRun] = []
    for place in sorted(path for path in (sweep / "configs").glob("*") if path.is_dir()):
        try:
            run = read_sweep_run(sweep, place.name)
            if found := list(_contradictions(run)):
                raise KISError(found)
            runs.append(run)
        except KISError as error:
            problems += error.problems
    if broken is not None:
        broken += problems
    elif problems:
        raise KISError(problems)
    return sorted(runs, key=lambda run: (run.shape.params, run.frequency, run.recipe.seed))


def _contradictions(run: SweepRun) -> Iterator[Problem]:
    """Yield where a run's two files say different things."""
    config = load_config(run.config)
    for key, told, planned in (
        ("infusion.frequency", config.infusion.frequency, run.frequency),
        ("seed", config.seed, run.recipe.seed),
    ):
        if told != planned:
            hint = "Change both, or neither."
            yield Problem(f"{run.config} {key}", f"{told}", f"{planned:g}, as {run.settings.name} says", hint)


def states_of(runs: list[SweepRun]) -> list[State]:
    """Return how far each run has come, from what lies in the folder."""
    return [_state(run) for run in runs]


def finished_log(run: SweepRun) -> RunLog | None:
    """Return the log of a run that is done, None if it is not: its checkpoints go last."""
    return _finished(run, _logs(run))


@contextmanager
def locked(sweep: Path) -> Iterator[None]:
    """Hold a sweep, so that no other process runs it or adds to it.

    Raises:
        KISError: Another one does.
    """
    with alone(sweep, str(sweep), "a sweep that another process runs"):
        yield


@contextmanager
def alone(folder: Path, where: str, found: str) -> Iterator[None]:
    """Hold a folder.

    Args:
        folder: It is there.
        where: What errors call it.
        found: What it is while another process holds it.

    Raises:
        KISError: Another process does.
    """
    try:
        # Not at once: whoever looks whether a folder is held holds it for a moment.
        with FileLock(folder / _LOCK, timeout=_MOMENT):
            yield
    except Timeout as error:
        raise KISError(Problem(where, found, "one process at a time", "Wait for it, or stop it.")) from error


def failure_of(run: SweepRun) -> Path:
    """Return the file that says why a run failed; it is there only if it did."""
    return run.work / _FAILED


def _state(run: SweepRun) -> State:
    logs = _logs(run)
    if done := _finished(run, logs):
        return State(run, "finished", done)
    if damage := damage_of(run):
        return State(run, "failed", None, damage)
    log = logs[-1] if logs else None
    failure = failure_of(run)
    if failure.is_file():
        return State(run, "failed", log, failure.read_text(encoding="utf-8").strip())
    if log is None:
        return State(run, "waiting")
    return State(run, "running" if _is_held(run.work) else "interrupted", log)


def _is_held(folder: Path) -> bool:
    """Return whether a process holds a folder, as ``alone`` does."""
    if not (folder / _LOCK).exists():
        return False
    try:
        with FileLock(folder / _LOCK, blocking=False):
            return False
    except Timeout:
        return True


def _finished(run: SweepRun, logs: Sequence[RunLog]) -> RunLog | None:
    if run.checkpoints.exists():
        return None
    return next((log for log in logs if log.end and log.end.status == "completed"), None)


def damage_of(run: SweepRun) -> str:
    """Return what is wrong with a log of the run that cannot be read, and what to do; empty if there is none."""
    for path in sorted(run.logs.glob(f"*/{LOG_NAME}")):
        try:
            read_run_log(path)
        except EmptyLogError:
            continue
        except KISError as error:
            return f"{error.problems[0]}. Its log is damaged: move {path.parent} away to train the run anew."
    return ""


def _logs(run: SweepRun) -> list[RunLog]:
    """Return the run's logs that hold a line and can be read, the latest last."""
    logs = []
    for path in sorted(run.logs.glob(f"*/{LOG_NAME}"), key=lambda path: path.stat().st_mtime):
        with suppress(KISError):  # empty, or damaged: ``damage_of`` says how
            logs.append(read_run_log(path))
    return logs
