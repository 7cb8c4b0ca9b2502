"""Trains one run of a sweep in this process: ``python -m kis_sweep.worker SWEEP NAME``; started by the engines.

Exit code 0: the run is complete. 2: the run's configuration is wrong; stderr says how. Any other code: the run failed
and may be retried.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kis_plugin.errors import KISError
from kis_plugin.escapes import to_stderr
from kis_plugin.registry import find
from kis_sweep.folder import exclusive, finished_log, set_aside_damaged_logs
from kis_sweep.run_spec_file import read_sweep_run

__all__ = ["main"]


def main(sweep: str, name: str) -> int:
    """Train the run ``name`` and return the exit code."""
    try:
        run = read_sweep_run(Path(sweep), name)
        run.work.mkdir(parents=True, exist_ok=True)
        # A process that outlived the sweep that started it may still train this run: it is let finish, and where it
        # does not, the run goes on from its last checkpoint.
        with exclusive(run.work, run.name, "a run that another process trains", wait=True):
            if finished_log(run) is None:
                set_aside_damaged_logs(run)
                find("frameworks", run.framework, f"{run.settings} framework").train(run)
    except KISError as error:
        to_stderr(f"kis: {error}", keep="\n\t")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
