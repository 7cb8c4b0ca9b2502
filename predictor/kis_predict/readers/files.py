"""The files of a folder of logs, in a fixed order. Links are followed as long as they stay inside."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from kis_plugin.errors import Problem

__all__ = ["files_below"]


def files_below(
    place: Path, problems: list[Problem], *, follow_links: bool = False, outside: list[str] | None = None
) -> Iterator[tuple[Path, str]]:
    """Yield all files at or below ``place`` with their real paths; a folder reached twice is searched once.

    Args:
        place: A file or a folder. It may be a link itself: the user named it.
        problems: Gets the folders that cannot be searched.
        follow_links: Whether to follow links that lead out of ``place`` too; one to / reaches the whole file system.
        outside: Gets the links that were not followed.
    """
    if place.is_file():
        yield place, os.path.realpath(place)
        return
    root = os.path.realpath(place)

    def may_enter(path: str, real: str) -> bool:
        if follow_links or real == root or real.startswith(root.rstrip(os.sep) + os.sep):
            return True
        if outside is not None:
            outside.append(path)
        return False

    def refuse(error: OSError) -> None:
        problems.append(Problem(str(error.filename), str(error.strerror or error), "a folder that can be searched"))

    searched: set[str] = set()
    for folder, folders, names in os.walk(place, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in searched:
            folders.clear()
            continue
        searched.add(real)
        folders[:] = [name for name in sorted(folders) if _stays(folder, name, may_enter)]
        for name in sorted(names):
            path = os.path.join(folder, name)  # noqa: PTH118 (ten thousands of them: a Path is slow to make)
            if not os.path.islink(path):  # noqa: PTH114
                yield Path(path), os.path.join(real, name)  # noqa: PTH118
            elif may_enter(path, target := os.path.realpath(path)):
                yield Path(path), target


def _stays(folder: str, name: str, may_enter: Callable[[str, str], bool]) -> bool:
    path = os.path.join(folder, name)  # noqa: PTH118
    return not os.path.islink(path) or may_enter(path, os.path.realpath(path))  # noqa: PTH114
