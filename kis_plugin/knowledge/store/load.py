"""Loads knowledge: small files into memory, large ones through columns in the cache, which are memory-mapped."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import to_stderr
from kis_plugin.knowledge.facts import Knowledge
from kis_plugin.knowledge.protocols import StreamingSource
from kis_plugin.knowledge.sources.read import source_for
from kis_plugin.knowledge.store.columns import fingerprint, write_knowledge
from kis_plugin.knowledge.store.tables import FactTable, PassageTable
from kis_plugin.storage.artifact_cache import Writer, can_write, is_prepared, prepared
from kis_plugin.storage.compressed_files import COMPRESSED

__all__ = ["LARGE", "Loaded", "Progress", "load_knowledge", "no_progress"]

LARGE = 1 << 24
"""Knowledge of this many bytes or more goes through the cache; compressed bytes count eightfold."""

_VERSION = 3  # raised when the built-in sources or the columns change what they make of a file
_READ = 1 << 22  # bytes hashed at a time
_SETTLED = 2_000_000_000  # ns; a younger file may still change without a change of its time stamp

Progress = Callable[[str, int], None]
"""Called with what is being done and how much of it is done."""


def no_progress(what: str, count: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Loaded:
    """Knowledge with its fingerprint.

    Attributes:
        knowledge: Facts and passages, in memory or memory-mapped.
        fingerprint: Hash of all of them.
        cache: The folder for what is derived from it; None if it is too small to be worth a file.
    """

    knowledge: Knowledge
    fingerprint: str
    cache: Path | None


def load_knowledge(
    path: Path,
    folder: Path,
    ahead: bool = False,
    progress: Progress = no_progress,
    columns: Mapping[str, str] | None = None,
) -> Loaded:
    """Read knowledge, into memory if it is small, through the cache if it is large or prepared.

    Args:
        path: A file or folder.
        folder: The cache folder.
        ahead: Whether to prepare small knowledge too.
        columns: Which columns hold the parts of a fact, where they have other names.
        progress: Called with ``("bytes", count)`` while a file is hashed and ``("entries", count)`` while facts and
            passages are read.

    Raises:
        KISError: No source reads it, everything wrong with it, or a cache folder that cannot be used.
    """
    source = source_for(path, columns)
    files = _files(path)
    large = sum(file.stat().st_size * (8 if file.suffix.lower() in COMPRESSED else 1) for file in files) >= LARGE
    if not isinstance(source, StreamingSource):
        knowledge = source.read(path)
        return Loaded(knowledge, fingerprint(knowledge), folder if large or ahead else None)
    if not large and not ahead and not (folder.is_dir() and is_prepared(folder, "knowledge", _key(source, files))):
        knowledge = source.read(path)
        return Loaded(knowledge, fingerprint(knowledge), None)
    return _through_cache(source, path, files, folder, progress)


def _through_cache(source: StreamingSource, path: Path, files: list[Path], folder: Path, progress: Progress) -> Loaded:
    before = _stamps(files)

    def build(writer: Writer) -> None:
        if progress is no_progress:
            line = f"kis: reading {path} into {folder}, only this once (kis prepare does it ahead)"
            to_stderr(line)
        write_knowledge(writer, source.stream(path), lambda count: progress("entries", count))
        if _stamps(files) != before:
            raise KISError(Problem(str(path), "a file that changed while it was read", "one that stays as it is"))

    found = prepared(folder, "knowledge", _known_key(source, files, folder, progress), build)
    knowledge = Knowledge(FactTable(found, folder), PassageTable(found))
    return Loaded(knowledge, found.meta["fingerprint"], folder)


def _known_key(source: StreamingSource, files: list[Path], folder: Path, progress: Progress) -> dict[str, Any]:
    """Return the key; files that were hashed before and have the same stamps are not read again."""
    stamps = _stamps(files)
    settled = all(time.time_ns() - changed > _SETTLED for _, _, changed, *_ in stamps)
    key = {"source": _name(source), "files": hashlib.sha256(repr(stamps).encode()).hexdigest()}

    def build(writer: Writer) -> None:
        writer.meta |= _key(source, files, progress)

    # A cache that cannot be written to may hold the same content under the key of an older time stamp: hash it again.
    kept = settled and (is_prepared(folder, "content", key) or can_write(folder))
    return dict(prepared(folder if kept else None, "content", key, build).meta)


def _key(source: StreamingSource, files: list[Path], progress: Progress = no_progress) -> dict[str, Any]:
    """Return what the columns of some files depend on: the source, and every byte of the files."""
    digest, count = hashlib.sha256(), 0
    root = os.path.commonpath([file.parent for file in files]) if files else ""
    for file in files:
        try:
            digest.update(
                f"{file.relative_to(root).as_posix()} {file.stat().st_size} ".encode(errors="surrogateescape")
            )
            with file.open("rb") as opened:
                while piece := opened.read(_READ):
                    digest.update(piece)
                    count += len(piece)
                    progress("bytes", count)
        except OSError as error:
            raise KISError(Problem(str(file), error.strerror or str(error), "a file that can be read")) from error
    return {"source": _name(source), "version": _VERSION, "sha256": digest.hexdigest()}


def _name(source: StreamingSource) -> str:
    """Return an identifier of the source and its version."""
    kind = type(source)
    return f"{source.name} {kind.__module__}.{kind.__qualname__} {source.version}".rstrip()


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _stamps(files: list[Path]) -> list[tuple[str, int, int, int, int]]:
    """Return path, size, time of change, inode and time of the inode's change, which no program can set back."""
    found = [(str(file.resolve()), file.stat()) for file in files]
    return [(name, stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns) for name, stat in found]
