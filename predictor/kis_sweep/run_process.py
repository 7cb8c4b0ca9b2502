"""One try at a run, in a process of its own, whoever asks for it: this machine, Ray or SLURM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from kis_plugin.storage.atomic_write import write_atomically
from kis_sweep.folder import failure_of, finished_log
from kis_sweep.run_spec import SweepRun

__all__ = ["LOST", "OUTPUT", "attempt", "note_lost", "try_run"]

LOST = 1
OUTPUT = "output.txt"
_LAST = 2000  # characters of the output that may tell why a run failed


def try_run(
    run: SweepRun, environment: Mapping[str, str], started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None
) -> int:
    """Train a run in a process of its own and return its exit code; 0 only if its log says that it is complete.

    What the process prints goes to ``output.txt`` in the run's folder. If it fails, the folder says why.

    Args:
        run: Which.
        environment: Variables beside those of this process.
        started: Told of the process, so that it can be ended.
    """
    run.work.mkdir(parents=True, exist_ok=True)
    failure_of(run).unlink(missing_ok=True)
    command = [sys.executable, "-m", "kis_sweep.worker", str(run.sweep), run.name]
    with (run.work / OUTPUT).open("ab") as output:
        before = output.tell()
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(environment),
            start_new_session=True,  # Ctrl-C is for the sweep, which ends its runs itself
        )
        started(process)
        try:
            code = process.wait()
        except BaseException:  # SLURM ends a job by one; whoever trains the run next must not find it trained still
            _kill(process)
            process.wait()
            raise
    if code == 0 and finished_log(run) is None:
        code = 1
    if code != 0:
        write_atomically(failure_of(run), _reason(run.work / OUTPUT, before, code) + "\n")
    return code


def attempt(sweep: str, name: str, environment: Mapping[str, str]) -> int:
    """Do ``try_run`` where only names can be sent, as to another machine; a run that is finished is not run again."""
    from kis_sweep.run_spec_file import read_sweep_run

    run = read_sweep_run(Path(sweep), name)
    return 0 if finished_log(run) else try_run(run, environment)


def note_lost(run: SweepRun, error: BaseException) -> int:
    """Note that a run was lost with the machine that it was on; return its exit code."""
    run.work.mkdir(parents=True, exist_ok=True)
    write_atomically(failure_of(run), f"{type(error).__name__}: {error}".splitlines()[0] + "\n")
    return LOST


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it started; Windows has no groups of processes, there it alone."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _reason(output: Path, start: int, code: int) -> str:
    """Return the last line that a failed process printed, from ``start`` on, or the signal that ended it."""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    with output.open("rb") as file:
        file.seek(max(start, output.stat().st_size - _LAST))
        text = file.read().decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {code}"
