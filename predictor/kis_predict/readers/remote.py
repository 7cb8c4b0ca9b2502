"""Logs behind a URL: the files that readers need are copied to a folder of this machine and read there."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.compressed_files import MOST_BYTES
from kis_plugin.storage.urls import file_system, is_url, reason_of
from kis_predict.readers.temporary_copies import has_room

__all__ = ["fetch", "is_url"]

_PIECE = 2**20


def fetch(url: str, names: Sequence[str], into: Path, notify: Callable[[str], None]) -> Path:
    """Copy the logs at or below ``url``.

    Args:
        url: Of a file or folder, in any scheme that an installed fsspec knows.
        names: Patterns of the names to copy: weights next to the logs stay where they are.
        into: An empty folder.
        notify: Gets one line that says what is fetched.

    Returns:
        The copied file, or ``into``, with the folders that were below ``url``.

    Raises:
        KISError: fsspec or what it needs for the scheme is missing, nothing is there, or the other side refuses.
    """
    where = f"--logs {url}"
    files, root = file_system(url, where)
    try:
        return _copy(files, root, names, into, notify, url)
    except KISError:
        raise
    except Exception as error:
        # Every scheme has errors of its own: no credentials, no such bucket, no network.
        raise KISError(Problem(where, reason_of(error), "a file or folder that can be read")) from error


def _copy(
    files: Any, root: str, names: Sequence[str], into: Path, notify: Callable[[str], None], url: str
) -> Path:  # fmt: skip
    copied = _Copied(url)
    if files.isfile(root):
        copy = into / _safe(root.rsplit("/", 1)[-1].partition("?")[0])[0]
        copied.add(files, root, copy)
        return copy
    if not files.exists(root):
        raise KISError(Problem(f"--logs {url}", "nothing of that name", "a folder of runs, or a log file"))
    listed = files.find(root, detail=True)
    there = {
        place: details.get("size") or 0
        for place, details in sorted(listed.items())
        if any(fnmatch(place.rsplit("/", 1)[-1], name) for name in names)
    }
    notify(f"Fetching {len(there):,} of {len(listed):,} files ({sum(there.values()) / 1e6:,.1f} MB) from {url}.")
    for place in there:
        copy = into.joinpath(*_safe(posixpath.relpath(place, root)))
        copy.parent.mkdir(parents=True, exist_ok=True)
        copied.add(files, place, copy)
    return into


class _Copied:
    """Copies files piece by piece and stops at a limit: the size that a server reports need not be true."""

    def __init__(self, url: str) -> None:
        self._url, self._bytes = url, 0

    def add(self, files: Any, place: str, copy: Path) -> None:
        with files.open(place, "rb") as source, copy.open("wb") as target:
            while data := source.read(_PIECE):
                self._bytes += len(data)
                if self._bytes > MOST_BYTES:
                    raise KISError(Problem(f"--logs {self._url}", f"more than {MOST_BYTES:,} bytes", "logs of a sweep"))
                if not has_room(copy.parent, len(data)):
                    hint = "Set TMPDIR to a larger disk."
                    raise KISError(Problem(f"--logs {self._url}", f"no room in {copy.parent}", "free space", hint))
                target.write(data)


def _safe(relative: str) -> list[str]:
    """Return the parts of a path that stays inside its folder: an object store's keys may hold anything."""
    parts = [part for part in relative.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return [part.replace("\0", "") or "_" for part in parts] or ["_"]
