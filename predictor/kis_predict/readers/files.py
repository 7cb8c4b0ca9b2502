"""The files of a folder of logs, in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from kis_plugin.errors import Problem

__all__ = ["files_below"]


def files_below(place: Path, problems: list[Problem]) -> Iterator[tuple[Path, str]]:
    """Yield all files at or below ``place`` with their real paths; links to folders are followed, each once."""
    if place.is_file():
        yield place, os.path.realpath(place)

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
            path = os.path.join(folder, name)  # noqa: PTH118 (ten thousands of them: a Path is slow to make)
            inside = os.path.realpath(path) if os.path.islink(path) else os.path.join(real, name)  # noqa: PTH114, PTH118
            yield Path(path), inside
