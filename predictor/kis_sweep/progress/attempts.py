"""When the attempts to train a run began and ended, kept beside its output: no log carries clock times."""

from __future__ import annotations

import json
import time
from pathlib import Path

from kis_plugin.run.log import LOG_NAME
from kis_plugin.storage.atomic_write import explained_writing
from kis_plugin.storage.regular_files import open_in_place
from kis_sweep.run_spec import SweepRun

__all__ = ["elapsed_seconds", "note_begin", "note_end", "seconds_since_logged"]

_FILE = "attempts.jsonl"


def note_begin(run: SweepRun) -> None:
    """Note that an attempt begins now. The run's working folder exists."""
    _append(run, "begin")


def note_end(run: SweepRun) -> None:
    """Note that the attempt ends now."""
    _append(run, "end")


def elapsed_seconds(run: SweepRun, running: bool) -> float | None:
    """Return the seconds that processes spent on a run, all attempts together; None where none was noted.

    An attempt that was killed, and so has no end, lasted until the last line of the run's log.

    Args:
        run: The run.
        running: Whether a process trains it now.
    """
    path = run.work / _FILE
    if not path.is_file():
        return None
    total, begin = 0.0, None
    for event, at in _events(path):
        if begin is not None:
            total += max((at if event == "end" else min(at, max(_last_written(run), begin))) - begin, 0.0)
        begin = at if event == "begin" else None
    if begin is not None:
        total += max((time.time() if running else _last_written(run)) - begin, 0.0)
    return total


def seconds_since_logged(run: SweepRun) -> float:
    """Return the seconds since the last line of a running run's log; since its attempt began, if that was later."""
    path = run.work / _FILE
    begins = [at for event, at in _events(path) if event == "begin"] if path.is_file() else []
    last = max([_last_written(run), *begins[-1:]])
    return max(time.time() - last, 0.0) if last else 0.0


def _events(path: Path) -> list[tuple[str, float]]:
    """Return the events of a file; a line that a kill left torn is none."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            values = json.loads(line)
            found.append((str(values["event"]), float(values["time"])))
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
    return found


def _append(run: SweepRun, event: str) -> None:
    path = run.work / _FILE
    with explained_writing(str(path)), open_in_place(path, append=True) as file:
        file.write(json.dumps({"event": event, "time": time.time()}).encode() + b"\n")


def _last_written(run: SweepRun) -> float:
    return max((path.lstat().st_mtime for path in run.logs.glob(f"*/{LOG_NAME}")), default=0.0)
