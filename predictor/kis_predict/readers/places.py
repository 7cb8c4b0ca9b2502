"""Where logs are: a folder or file here, a URL, or an archive of collected logs; each becomes a folder to search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_predict.readers.archive import in_archive, unpack
from kis_predict.readers.remote import fetch, is_url
from kis_predict.readers.temporary_copies import temporary_folder

__all__ = ["Place", "resolve"]


@dataclass(frozen=True)
class Place:
    """A folder or file to be searched.

    Attributes:
        root: The folder or file on this machine.
        copied: The folder that logs were copied to, and the name by which the user knows it; empty where they were not.
    """

    root: Path
    copied: tuple[str, str] = ("", "")

    def shown(self, text: str) -> str:
        """Return a message about a copy as one about the place that the user named."""
        return text.replace(*self.copied) if self.copied[0] else text


def resolve(place: str | Path, names: Sequence[str], notify: Callable[[str], None], stack: ExitStack) -> Place:
    """Return where the logs of ``place`` can be read. Copies are removed when ``stack`` is closed.

    Args:
        place: A path, a URL, or a path in an archive: ``logs.tar.xz/held_out``.
        names: Patterns of the names that are copied from a URL or an archive.
        notify: Gets a line about what takes time.
        stack: Keeps what must be removed.

    Raises:
        KISError: There is nothing, or it cannot be read.
    """
    given, root, copied = str(place), Path(place), ("", "")
    if is_url(given):
        into = temporary_folder(stack)
        root = fetch(given, names, into, notify)
        copied = (str(root), given.rstrip("/"))
    packed = in_archive(root)
    if packed is not None:
        into = temporary_folder(stack)
        archive, inside = packed
        try:
            root = unpack(archive, inside, names, into)
        except KISError as error:
            problems = [Problem(p.where.replace(*copied) if copied[0] else p.where, p.found, p.expected, p.hint)
                        for p in error.problems]  # fmt: skip
            raise KISError(problems) from error
        copied = (str(into), copied[1] or str(archive))
    try:
        root.stat()
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        found = "nothing of that name" if isinstance(error, FileNotFoundError) else reason
        raise KISError(Problem(f"--logs {place}", found, "a folder of runs, or a log file")) from error
    return Place(root, copied)
