"""Finds log files and hands each to the reader that claims it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kis_plugin.contracts import LogReader
from kis_plugin.errors import KISError, Problem
from kis_plugin.runlog import LOG_NAME
from kis_predict.observed import ObservedRun

__all__ = ["gather"]

SHOWN = 20


def gather(places: Sequence[Path], readers: Mapping[str, LogReader]) -> list[ObservedRun]:
    """Read every run under ``places``.

    Args:
        places: Files, or folders that are searched to the bottom. A file reached twice is read once.
        readers: By name; the first that claims a file reads it.

    Returns:
        The runs, by the order of places and then of paths.

    Raises:
        KISError: Everything wrong in any file, a place that does not exist, or no run at all.
    """
    runs: list[ObservedRun] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for place in places:
        try:
            place.stat()
        except OSError as error:
            found = "nothing of that name" if isinstance(error, FileNotFoundError) else str(error.strerror or error)
            problems.append(Problem(f"--logs {place}", found, "a folder of runs, or a log file"))
            continue
        for path in _files(place, problems):
            real = os.path.realpath(path)  # of a link to itself too
            if real in seen:
                continue
            seen.add(real)
            try:
                reader = next((reader for reader in readers.values() if reader.claims(path)), None)
                if reader:
                    runs.extend(reader.read(path))
                elif path == place:
                    formats = ", ".join(readers)
                    hint = (
                        f"A run log is called {LOG_NAME}; a table needs the columns params, tokens, frequency and "
                        "retention."
                    )
                    problems.append(Problem(f"--logs {place}", "a file of no known format", f"one of: {formats}", hint))
            except KISError as error:
                problems.extend(error.problems)
            except OSError as error:
                problems.append(Problem(str(path), str(error.strerror or error), "a readable log"))
    if len(problems) > SHOWN:
        more = Problem("--logs", f"{len(problems) - SHOWN:,} more problems", "none", "Mend those above first.")
        problems = [*problems[:SHOWN], more]
    if problems:
        raise KISError(problems)
    if not runs:
        where = f"--logs {' '.join(map(str, places))}"
        raise KISError(
            Problem(where, "no runs", "run logs (kis.jsonl) or CSV tables", "Folders are searched to the bottom.")
        )
    return runs


def _files(place: Path, problems: list[Problem]) -> Iterator[Path]:
    """Yield ``place``, or all files below it; links to folders are followed, each folder is searched once."""
    if place.is_file():
        yield place

    def refuse(error: OSError) -> None:
        problems.append(Problem(str(error.filename), str(error.strerror or error), "a folder that can be searched"))

    searched: set[str] = set()
    for folder, folders, names in os.walk(place, onerror=None if place.is_file() else refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in searched:
            folders.clear()
            continue
        searched.add(real)
        folders.sort()
        for name in sorted(names):
            yield Path(folder, name)
