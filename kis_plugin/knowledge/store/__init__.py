"""Knowledge through the cache: streamed into columns once, memory-mapped by whoever needs it after that."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.facts import Knowledge
from kis_plugin.knowledge.protocols import Source
from kis_plugin.knowledge.sources import source_for
from kis_plugin.knowledge.sources.text_files import COMPRESSED
from kis_plugin.knowledge.store.columns import fingerprint, write_knowledge
from kis_plugin.knowledge.store.tables import FactTable, PassageTable
from kis_plugin.storage.artifact_cache import Writer, is_prepared, prepared

__all__ = ["LARGE", "Loaded", "Watch", "load_knowledge", "unwatched"]

LARGE = 1 << 24
"""Bytes of knowledge from which on it goes through the cache; compressed ones count eightfold."""

_VERSION = 2  # of what the built-in sources and the columns make of a file
_READ = 1 << 22  # bytes hashed at a time
_SETTLED = 2_000_000_000  # ns after which a file of the same size and time is taken to be the same

Watch = Callable[[str, int], None]
"""Told what goes on, and how much of it is done."""


def unwatched(what: str, count: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Loaded:
    """Knowledge, and what it is known by.

    Attributes:
        knowledge: Facts and passages, in memory or memory-mapped.
        fingerprint: Hash of all of them.
        cache: Where things made from it are kept; None while it is too small to be worth a file.
    """

    knowledge: Knowledge
    fingerprint: str
    cache: Path | None


def load_knowledge(path: Path, folder: Path, ahead: bool = False, watch: Watch = unwatched) -> Loaded:
    """Read knowledge: into memory if it is small, through the cache if it is large or was prepared.

    Args:
        path: A file or folder.
        folder: The cache folder.
        ahead: Prepare small knowledge too.
        watch: Told of progress: ``("bytes", so many)`` while a file is hashed, ``("entries", so many)`` while facts
            and passages are read.

    Raises:
        KISError: No source reads it, everything wrong with it, or a cache folder that cannot be used.
    """
    source = source_for(path)
    files = _files(path)
    large = sum(file.stat().st_size * (8 if file.suffix.lower() in COMPRESSED else 1) for file in files) >= LARGE
    if not hasattr(source, "stream"):
        knowledge = source.read(path)
        return Loaded(knowledge, fingerprint(knowledge), folder if large or ahead else None)
    if not large and not ahead and not (folder.is_dir() and is_prepared(folder, "knowledge", _key(source, files))):
        knowledge = source.read(path)
        return Loaded(knowledge, fingerprint(knowledge), None)
    return _through_cache(source, path, files, folder, watch)


def _through_cache(source: Any, path: Path, files: list[Path], folder: Path, watch: Watch) -> Loaded:
    before = _stamps(files)

    def build(writer: Writer) -> None:
        if watch is unwatched:
            sys.stderr.write(f"kis: reading {path} into {folder}, this once (kis prepare does it ahead)\n")
        write_knowledge(writer, source.stream(path), lambda count: watch("entries", count))
        if _stamps(files) != before:
            raise KISError(Problem(str(path), "a file that changed while it was read", "one that stays as it is"))

    found = prepared(folder, "knowledge", _known_key(source, files, folder, watch), build)
    knowledge = Knowledge(FactTable(found, folder), PassageTable(found))
    return Loaded(knowledge, found.meta["fingerprint"], folder)


def _known_key(source: Source, files: list[Path], folder: Path, watch: Watch) -> dict[str, Any]:
    """Return the key, without reading files again that were hashed before and look the same."""
    stamps = _stamps(files)
    settled = all(time.time_ns() - changed > _SETTLED for _, _, changed, _ in stamps)
    key = {"source": _name(source), "files": hashlib.sha256(repr(stamps).encode()).hexdigest()}

    def build(writer: Writer) -> None:
        writer.meta |= _key(source, files, watch)

    return dict(prepared(folder if settled else None, "content", key, build).meta)


def _key(source: Source, files: list[Path], watch: Watch = unwatched) -> dict[str, Any]:
    """Return what the columns of some files depend on: who reads them, and every byte of them."""
    digest, count = hashlib.sha256(), 0
    for file in files:
        try:
            digest.update(f"{file.name} {file.stat().st_size} ".encode(errors="surrogateescape"))
            with file.open("rb") as opened:
                while piece := opened.read(_READ):
                    digest.update(piece)
                    count += len(piece)
                    watch("bytes", count)
        except OSError as error:
            raise KISError(Problem(str(file), error.strerror or str(error), "a file that can be read")) from error
    return {"source": _name(source), "version": _VERSION, "sha256": digest.hexdigest()}


def _name(source: Source) -> str:
    """Return what tells a source from others, and from itself before it changed what it makes of a file."""
    kind = type(source)
    return f"{source.name} {kind.__module__}.{kind.__qualname__} {getattr(source, 'version', '')}".rstrip()


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _stamps(files: list[Path]) -> list[tuple[str, int, int, int]]:
    """Return path, size, time and inode of each file."""
    found = [(str(file.resolve()), file.stat()) for file in files]
    return [(name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in found]
