"""A sweep's folder: its settings, its runs, and the state of each."""

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
    "damage_of",
    "exclusive",
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
    """State of a run.

    Attributes:
        run: The run.
        state: ``finished``, ``failed``, ``running``, ``interrupted`` (it was started, and no process trains it) or
            ``waiting``.
        log: Its run log, if there is one.
        reason: Why it failed; empty in other states.
    """

    run: SweepRun
    state: str
    log: RunLog | None = None
    reason: str = ""


def read_settings(sweep: Path) -> Node:
    """Return the content of the sweep's ``sweep.yaml``.

    Raises:
        KISError: The folder holds no sweep.
    """
    path = sweep / SETTINGS
    if not path.is_file():
        hint = "kis sweep plan creates one."
        raise KISError(Problem(str(sweep), f"no {SETTINGS}", "the folder of a sweep", hint))
    return read_yaml(path, "the settings of a sweep")


def runs_of(sweep: Path, broken: list[Problem] | None = None) -> list[SweepRun]:
    """Return all planned runs, sorted by size, frequency and seed.

    Args:
        sweep: Folder of the sweep.
        broken: Collects the problems of unreadable runs, which are then left out; if None, they are raised.

    Raises:
        KISError: The folder holds no sweep; or, without ``broken``, the problems of all runs together.
    """
    read_settings(sweep)
    problems: list[Problem] = []
    runs: list[SweepRun] = []
    for folder in sorted(path for path in (sweep / "configs").glob("*") if path.is_dir()):
        try:
            run = read_sweep_run(sweep, folder.name)
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
    """Yield contradictions between the two files of a run."""
    config = load_config(run.config)
    for key, configured, planned in (
        ("infusion.frequency", config.infusion.frequency, run.frequency),
        ("seed", config.seed, run.recipe.seed),
    ):
        if configured != planned:
            hint = "Change both files, or neither."
            yield Problem(f"{run.config} {key}", f"{configured}", f"{planned:g}, as in {run.settings.name}", hint)


def states_of(runs: list[SweepRun]) -> list[State]:
    """Return the state of each run, as its files show it."""
    return [_state(run) for run in runs]


def finished_log(run: SweepRun) -> RunLog | None:
    """Return the log of a finished run, else None. A run with checkpoints is not finished: they are removed last."""
    return _finished(run, _logs(run))


@contextmanager
def locked(sweep: Path) -> Iterator[None]:
    """Lock a sweep, so that no other process runs it or adds to it.

    Raises:
        KISError: Another process has locked it.
    """
    with exclusive(sweep, str(sweep), "a sweep that another process runs"):
        yield


@contextmanager
def exclusive(folder: Path, where: str, found: str) -> Iterator[None]:
    """Lock a folder for this process.

    Args:
        folder: An existing folder.
        where: Its name in error messages.
        found: What error messages say about it if another process has locked it.

    Raises:
        KISError: Another process has locked it.
    """
    try:
        # Wait a moment: a process that only checks the lock (``_is_locked``) also takes it briefly.
        with FileLock(folder / _LOCK, timeout=_MOMENT):
            yield
    except Timeout as error:
        raise KISError(
            Problem(where, found, "one process at a time", "Wait for the other process, or stop it.")
        ) from error


def failure_of(run: SweepRun) -> Path:
    """Return the file with the reason why a run failed; it exists only if the run did."""
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
        return State(run, "failed", log, failure.read_text(encoding="utf-8", errors="replace").strip())
    if _is_locked(run.work):
        return State(run, "running", log)
    return State(run, "waiting" if log is None else "interrupted", log)


def _is_locked(folder: Path) -> bool:
    """Return whether a process has locked a folder by ``exclusive``."""
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
    """Return which log of the run is damaged, how, and what to do about it; empty if none is."""
    for path in sorted(run.logs.glob(f"*/{LOG_NAME}")):
        try:
            read_run_log(path)
        except EmptyLogError:
            continue
        except KISError as error:
            return f"{error.problems[0]}. Its log is damaged: move {path.parent} away to train the run again."
    return ""


def _logs(run: SweepRun) -> list[RunLog]:
    """Return the readable, non-empty logs of the run, the latest last."""
    logs = []
    for path in sorted(run.logs.glob(f"*/{LOG_NAME}"), key=lambda path: path.lstat().st_mtime):
        with suppress(KISError):  # empty, or damaged: ``damage_of`` reports it
            logs.append(read_run_log(path))
    return logs
