"""Trains one run of a sweep in this process: ``python -m kis_sweep.one SWEEP NAME``; engines start it.

Exit code 0: trained to its end. 2: the run's configuration is wrong, as stderr says. Anything else: it broke, and may
be tried again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from kis_plugin.errors import KISError, Problem
from kis_plugin.plugins import find
from kis_plugin.sweep_run import SweepRun, read_sweep_run

__all__ = ["main"]


def main(sweep: str, name: str) -> int:
    """Train the run ``name`` and return the exit code."""
    try:
        run = read_sweep_run(Path(sweep), name)
        run.work.mkdir(parents=True, exist_ok=True)
        with _alone(run):
            find("frameworks", run.framework, f"{run.config.with_name('run.yaml')} framework").train(run)
    except KISError as error:
        sys.stderr.write(f"kis: {error}\n")
        return error.exit_code
    return 0


@contextmanager
def _alone(run: SweepRun) -> Iterator[None]:
    """Hold the run: a process that outlived the sweep which began it may be training it still."""
    try:
        with FileLock(run.work / ".lock", blocking=False):
            yield
    except Timeout as error:
        hint = "Wait for it, or end it."
        raise KISError(Problem(run.name, "another process that trains it", "one at a time", hint)) from error


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
