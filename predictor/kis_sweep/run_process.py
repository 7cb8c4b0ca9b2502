"""One attempt to train a run, in a separate process; used by every engine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from kis_plugin.errors import KISError
from kis_plugin.escapes import to_stderr
from kis_plugin.storage.atomic_write import write_atomically
from kis_plugin.storage.regular_files import open_in_place
from kis_sweep.folder import failure_of, finished_log
from kis_sweep.progress.attempts import note_begin, note_end
from kis_sweep.run_spec import SweepRun

__all__ = ["LOST", "OUTPUT", "attempt", "record_lost", "run_once"]

LOST = 1
OUTPUT = "output.txt"
_QUIET = {"KIS_QUIET": "1"}  # the last line of the output is taken for the reason of a failure
# torch.save on a full disk ends with either of the last two, by where in the file the space ended.
_FULL = re.compile(
    r"no space left|disk quota exceeded|os error 28"
    r"|PytorchStreamWriter failed writing|inline_container\S* \. unexpected pos",
    re.IGNORECASE,
)
_LAST = 2000  # characters at the end of the output in which the reason of a failure is sought


def run_once(
    run: SweepRun, environment: Mapping[str, str], started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None
) -> int:
    """Train a run in a separate process and return its exit code: 0 only if its log shows that it is complete.

    The output of the process is appended to ``output.txt`` in the run's working folder. If the run fails, the reason is
    written to the file ``failure_of(run)``.

    Args:
        run: The run.
        environment: Environment variables, added to those of this process.
        started: Called with the process, so that the caller can end it.
    """
    try:
        code, reason = _trained(run, environment, started)
    except (OSError, KISError) as error:  # a full disk, one that is gone, a link: the other runs go on
        code, reason = LOST, _of_disk(run, str(error)) or str(error)
    if code != 0:
        _record(run, reason)
    return code


def _trained(
    run: SweepRun, environment: Mapping[str, str], started: Callable[[subprocess.Popen[bytes]], None]
) -> tuple[int, str]:
    """Train a run in a separate process; return its exit code, and why it failed."""
    run.work.mkdir(parents=True, exist_ok=True)
    failure_of(run).unlink(missing_ok=True)
    with open_in_place(run.work / OUTPUT, append=True) as output:
        before = output.seek(0, os.SEEK_END)
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            _command(run),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | _QUIET | dict(environment),
            start_new_session=True,  # Ctrl-C reaches only the sweep, which ends its runs itself
        )
        started(process)
        try:
            note_begin(run)
            code = process.wait()
        except BaseException:  # SLURM ends a job so; the next attempt must not meet this process
            _kill(process)
            process.wait()
            raise
        finally:
            note_end(run)
    if code == 0 and finished_log(run) is None:
        code = 1
    return code, _reason(run, before, code) if code != 0 else ""


def _command(run: SweepRun) -> list[str]:
    return [sys.executable, "-m", "kis_sweep.worker", str(run.sweep), run.name]


def _record(run: SweepRun, reason: str) -> None:
    """Write why a run failed beside its files, or, where nothing can be written there, to stderr."""
    try:
        run.work.mkdir(parents=True, exist_ok=True)
        write_atomically(failure_of(run), reason + "\n")
    except (KISError, OSError):
        to_stderr(f"kis: {run.name}: {reason}")


def attempt(sweep: str, name: str, environment: Mapping[str, str]) -> int:
    """Call ``run_once`` for a run given by folder and name, as on another machine; a finished run is not repeated."""
    from kis_sweep.run_spec_file import read_sweep_run

    run = read_sweep_run(Path(sweep), name)
    return 0 if finished_log(run) else run_once(run, environment)


def record_lost(run: SweepRun, error: BaseException) -> int:
    """Record that a run was lost together with its machine; return its exit code."""
    _record(run, f"{type(error).__name__}: {error}".splitlines()[0])
    return LOST


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children; on Windows, which has no process groups, the process alone."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _reason(run: SweepRun, start: int, code: int) -> str:
    """Return why a process failed: a full disk, a signal, or the last line of its output from byte ``start`` on."""
    output = run.work / OUTPUT
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    with output.open("rb") as file:
        file.seek(max(start, output.stat().st_size - _LAST))
        text = file.read().decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit code {code}"
    return next((found for line in reversed(lines) if (found := _of_disk(run, line))), last)


def _of_disk(run: SweepRun, line: str) -> str:
    """Return what a line of output says about a full disk in plain words; empty if it does not."""
    if not _FULL.search(line):
        return ""
    free = shutil.disk_usage(run.sweep).free
    return f"no space left on the disk of {run.sweep}, {free / 1e6:,.1f} MB are free: {line}"
