"""Finds the run logs that a user names: files, folders of runs, folders of many runs."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.log import LOG_NAME, EmptyLogError, read_course
from kis_plugin.summary.history import History, history_of

__all__ = ["histories_at"]


def histories_at(places: Sequence[Path], notify: Callable[[str], None]) -> list[History]:
    """Read the run logs at some places.

    Args:
        places: Each a ``kis.jsonl``, the folder of a run, or a folder with such folders below it.
        notify: Called with a line for each warning, and for each log of a folder that is still empty.

    Raises:
        KISError: Everything wrong with places and logs.
    """
    problems: list[Problem] = []
    found: list[History] = []
    seen: set[Path] = set()
    for place in places:
        if place.is_file() and tarfile.is_tarfile(place):
            hint = f"Unpack it first: tar -xf {place}. kis-predict reads it as it is."
            problems.append(Problem(str(place), "an archive of run logs", f"a {LOG_NAME}, or a folder with one", hint))
            continue
        paths = _paths(place)
        if not paths:
            reason = "no run log" if place.exists() else "no such file or folder"
            hint = "A run writes its log to run_log/RUN_ID of its kis.yaml."
            problems.append(Problem(str(place), reason, f"a {LOG_NAME}, or a folder with one", hint))
        here: list[History] = []
        for path in paths:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                log = read_course(path)
            except EmptyLogError as error:
                if len(paths) == 1:
                    problems += error.problems
                else:
                    notify(f"left out: {path} is empty")
            except KISError as error:
                problems += error.problems
            else:
                for warning in log.warnings:
                    notify(warning)
                here.append(history_of(log))
        found += sorted(here, key=_order)
    if problems:
        raise KISError(problems)
    if not found:
        raise KISError(Problem(str(places[0]), "no run that has begun", f"a {LOG_NAME} with a run record"))
    return found


def _paths(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    own = place / LOG_NAME
    return [own] if own.is_file() else sorted(place.rglob(LOG_NAME)) if place.is_dir() else []


def _order(history: History) -> tuple[int, int, float, int]:
    run = history.run
    return run.params, run.tokens, run.frequency, run.seed or 0
