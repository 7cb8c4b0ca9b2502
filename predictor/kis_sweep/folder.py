"""A sweep's folder: its settings, its runs, and the state of each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from kis_plugin.config.load import load_config
from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import to_stderr
from kis_plugin.run.log import LOG_NAME, DamagedLogError, EmptyLogError, RunLog, read_course
from kis_plugin.storage.yaml_nodes import Node, read_yaml
from kis_sweep.run_spec import SweepRun
from kis_sweep.run_spec_file import read_sweep_run

__all__ = [
    "SETTINGS",
    "State",
    "damaged_logs",
    "exclusive",
    "failure_of",
    "finished_log",
    "locked",
    "read_settings",
    "runs_of",
    "set_aside_damaged_logs",
    "states_of",
]

SETTINGS = "sweep.yaml"
_FAILED = "failed.txt"
_LOCK, _MOMENT = ".lock", 1.0
_DAMAGED = "damaged"
_SHOWN = 2000  # characters of a reason


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
    problems += _without_configuration(sweep)
    if broken is not None:
        broken += problems
    elif problems:
        raise KISError(problems)
    return sorted(runs, key=lambda run: (run.shape.params, run.frequency, run.recipe.seed))


def _without_configuration(sweep: Path) -> Iterator[Problem]:
    """Yield the logs whose run has no configuration: its folder was removed, or given another name."""
    for folder in sorted({path.parent.parent for path in sweep.glob(f"runs/*/*/{LOG_NAME}")}):
        planned = sweep / "configs" / folder.name
        if not planned.is_dir():
            hint = "Put it back, or move the log to another place."
            yield Problem(str(folder), "the log of a run without a configuration", f"the folder {planned}", hint)


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
def exclusive(folder: Path, where: str, found: str, wait: bool = False) -> Iterator[None]:
    """Lock a folder for this process.

    Args:
        folder: An existing folder.
        where: Its name in error messages.
        found: What messages say about it if another process has locked it.
        wait: Wait for that process to end, instead of raising.

    Raises:
        KISError: Another process has locked it; or the lock cannot be made.
    """
    lock = FileLock(folder / _LOCK)
    try:
        # Wait a moment: a process that only checks the lock (``_is_locked``) also takes it briefly.
        lock.acquire(timeout=_MOMENT)
    except Timeout as error:
        if not wait:
            raise KISError(
                Problem(where, found, "one process at a time", "Wait for the other process, or stop it.")
            ) from error
        to_stderr(f"kis: {where}: {found}; waiting for its end")
        lock.acquire(poll_interval=_MOMENT / 4)
    except OSError as error:
        raise KISError(
            Problem(str(folder / _LOCK), str(error.strerror or error).lower(), "a file that can be locked")
        ) from error
    try:
        yield
    finally:
        lock.release()


def failure_of(run: SweepRun) -> Path:
    """Return the file with the reason why a run failed; it exists only if the run did."""
    return run.work / _FAILED


def _state(run: SweepRun) -> State:
    logs = _logs(run)
    log = logs[-1] if logs else None
    if done := _finished(run, logs):
        return State(run, "finished", done)
    if _is_locked(run.work):
        return State(run, "running", log)
    if damaged := damaged_logs(run):
        problem, mends = next(iter(damaged.values()))
        todo = "kis sweep run sets it aside and trains the run again" if mends else "The run is left out until then"
        return State(run, "failed", None, f"its log is damaged: {problem}. {todo}")
    failure = failure_of(run)
    if failure.is_file():
        with failure.open(encoding="utf-8", errors="replace") as file:
            return State(run, "failed", log, file.read(_SHOWN).strip())
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
    except PermissionError:  # the sweep of someone else: nothing shows whether it runs
        return False


def _finished(run: SweepRun, logs: Sequence[RunLog]) -> RunLog | None:
    if run.checkpoints.exists():
        return None
    return next((log for log in logs if log.end and log.end.status == "completed"), None)


def damaged_logs(run: SweepRun) -> dict[Path, tuple[Problem, bool]]:
    """Return the logs of a run that cannot be read: what is wrong with each, and whether the run can do without it.

    A log that a later release wrote, or that may not be read, is whole: setting it aside would lose a run.
    """
    found = {}
    for path in sorted(run.logs.glob(f"*/{LOG_NAME}")):
        try:
            read_course(path)
        except EmptyLogError:
            continue
        except KISError as error:
            found[path] = (error.problems[0], isinstance(error, DamagedLogError))
    return found


def set_aside_damaged_logs(run: SweepRun) -> None:
    """Move damaged logs to ``work/NAME/damaged`` and name them, so that the run goes on from its last checkpoint.

    The caller holds the run's lock. A run without a checkpoint starts again from its beginning.
    """
    for path, (problem, mends) in damaged_logs(run).items():
        if mends:
            kept = run.work / _DAMAGED / f"{path.parent.name}-{uuid.uuid4().hex[:8]}.jsonl"
            kept.parent.mkdir(parents=True, exist_ok=True)
            path.rename(kept)
            to_stderr(f"kis: {run.name}: its log is damaged and was moved to {kept}: {problem}")


def _logs(run: SweepRun) -> list[RunLog]:
    """Return the readable, non-empty logs of the run, the latest last."""
    logs = []
    for path in sorted(run.logs.glob(f"*/{LOG_NAME}"), key=lambda path: path.lstat().st_mtime):
        with suppress(KISError):  # empty, or damaged: ``damaged_logs`` reports it
            logs.append(read_course(path))
    return logs
