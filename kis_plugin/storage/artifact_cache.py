"""A cache of computed arrays on disk: built once, complete or absent, memory-mapped by every process that needs them.

An artifact has a kind and a key. It is the folder ``<cache>/<kind>-<hash of the key>/`` with ``.npy`` files and
``meta.json``, which records the size and the digests of each. It is built in a folder of another name, flushed to the
disk and renamed, so that a killed build leaves nothing that could be taken for a complete artifact. What lies there is
trained on: folders that others may write to are refused, and changed bytes are noticed (``digests``).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import to_stderr
from kis_plugin.storage.atomic_write import flush, flush_folder
from kis_plugin.storage.digests import sampled_digest, whole_digest
from kis_plugin.storage.npy_files import Array, GrowingFile, open_mapped
from kis_plugin.storage.trust import make_private_folder, refuse_shared_folder

__all__ = [
    "Prepared", "Writer", "cache_folder", "can_write", "damaged_artifacts", "is_prepared", "prepared",
    "remove_artifact",
]  # fmt: skip

_FORMAT = 2
_META = "meta.json"


def cache_folder(configured: Path | None) -> Path:
    """Return the cache folder: the key ``cache`` if set, otherwise ``$KIS_CACHE``, otherwise ``~/.cache/kis``."""
    if configured is not None:
        return configured
    return Path(os.environ.get("KIS_CACHE") or Path.home() / ".cache" / "kis")


@dataclass(frozen=True)
class Prepared:
    """An artifact.

    Attributes:
        arrays: Arrays by name. From a cache folder they are read-only and memory-mapped, and pickle as their paths.
        meta: What the builder recorded, as JSON values.
    """

    arrays: Mapping[str, Array]
    meta: Mapping[str, Any]


class Writer:
    """Receives the arrays of an artifact while it is built.

    Args:
        folder: The folder to write to; None keeps the arrays in memory.

    Attributes:
        meta: JSON values to keep with the arrays.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.meta: dict[str, Any] = {}
        self._folder = folder
        self._arrays: dict[str, Array] = {}
        self._pieces: dict[str, list[Array]] = {}
        self._grown: dict[str, GrowingFile] = {}

    def put(self, name: str, array: Array) -> None:
        """Write one array."""
        if self._folder is None:
            self._arrays[name] = np.array(array)
            return
        with _explained(self._folder), (self._folder / f"{name}.npy").open("xb") as file:
            np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
            flush(file)

    def append(self, name: str, array: Array) -> None:
        """Write the next piece of a one-dimensional array, which need not fit into memory as a whole.

        Raises:
            ValueError: Another dtype than the first piece's, or another number of dimensions than one.
        """
        if array.ndim != 1:
            raise ValueError(f"{name}: pieces have one dimension, not {array.ndim}")
        if self._folder is None:
            self._pieces.setdefault(name, []).append(np.array(array))
            return
        with _explained(self._folder):
            if name not in self._grown:
                self._grown[name] = GrowingFile(self._folder / f"{name}.npy", array.dtype)
            self._grown[name].write(array)

    def _finish(self) -> Prepared:
        """Return the artifact that was kept in memory."""
        grown = {name: np.concatenate(pieces) for name, pieces in self._pieces.items()}
        return Prepared(self._arrays | grown, json.loads(json.dumps(self.meta)))

    def _seal(self, key: Mapping[str, Any]) -> None:
        """Write ``meta.json``, by which a complete folder is recognised."""
        assert self._folder is not None
        with _explained(self._folder):
            self._close()
            files = sorted(self._folder.glob("*.npy"))
            kept = {
                "format": _FORMAT,
                "key": key,
                "meta": self.meta,
                "bytes": {path.stem: path.stat().st_size for path in files},
                "sampled": {path.stem: sampled_digest(path) for path in files},
                "whole": {path.stem: whole_digest(path) for path in files},
            }
            kept["seal"] = _seal_of(kept)
            with (self._folder / _META).open("xb") as file:
                file.write(json.dumps(kept, allow_nan=False).encode())
                flush(file)
            flush_folder(self._folder)

    def _close(self) -> None:
        for grown in self._grown.values():
            grown.close()
        self._grown = {}

    def _abandon(self) -> None:
        """Close the files of an artifact that will not be finished."""
        for grown in self._grown.values():
            grown.abandon()


def is_prepared(folder: Path, kind: str, key: Mapping[str, Any]) -> bool:
    """Return whether there is an artifact of this kind and key, complete or damaged."""
    return (folder / _name(kind, key)).is_dir()


def prepared(
    folder: Path | None,
    kind: str,
    key: Mapping[str, Any],
    build: Callable[[Writer], None],
    notify: Callable[[str], None] = to_stderr,
) -> Prepared:
    """Return an artifact from the cache folder, and build it there first if necessary.

    Of several processes one builds and the others wait. A damaged artifact is built again.

    Args:
        folder: The cache folder; None builds in memory and writes nothing.
        kind: The kind of artifact, one word.
        key: Everything that the content depends on, as JSON values.
        build: Called with a writer, at most once.
        notify: Called with one line when something takes time or was found damaged.

    Raises:
        KISError: The folder cannot be written to, or is full; whatever ``build`` raises.
    """
    if folder is None:
        writer = Writer()
        build(writer)
        return writer._finish()
    place = folder / _name(kind, key)
    if folder.exists():
        refuse_shared_folder(folder, f"cache folder {folder}")
    found = _open(place, key)
    if isinstance(found, Prepared):
        return found
    with _explained(folder):
        make_private_folder(folder)
    with _locked(folder, place.name, notify):
        found = _open(place, key)  # another process may have built it meanwhile
        if isinstance(found, str):
            notify(f"kis: {place}: {found}; it is prepared again")
        if not isinstance(found, Prepared):
            _build(folder, place, key, build)
            found = _open(place, key)
    if not isinstance(found, Prepared):
        raise KISError(_problem(folder, f"{place.name} {found or 'is gone'} right after it was written"))
    return found


def _name(kind: str, key: Mapping[str, Any]) -> str:
    plain = json.dumps(key, sort_keys=True, allow_nan=False)
    return f"{kind}-{hashlib.sha256(plain.encode()).hexdigest()[:32]}"


def _seal_of(kept: Mapping[str, Any]) -> str:
    """Return a digest of what ``meta.json`` says."""
    plain = json.dumps({name: value for name, value in kept.items() if name != "seal"}, sort_keys=True)
    return hashlib.blake2b(plain.encode(), digest_size=16).hexdigest()


def _manifest(place: Path) -> dict[str, Any]:
    """Return what ``meta.json`` says.

    Raises:
        ValueError: It is damaged.
    """
    kept: dict[str, Any] = json.loads((place / _META).read_bytes())
    if kept["format"] == _FORMAT and kept["seal"] != _seal_of(kept):
        raise ValueError(f"{_META} was changed")
    return kept


def damaged_artifacts(folder: Path) -> Iterator[tuple[Path, str]]:
    """Compare every byte of the artifacts in a cache folder with the digests kept there.

    Yields:
        The folder of each damaged artifact, and what is wrong with it.
    """
    for meta in sorted(folder.glob(f"*/{_META}")):
        place = meta.parent
        try:
            kept = _manifest(place)
            if kept["format"] != _FORMAT:
                continue  # of another version of KIS, which this one never opens
            for name, digest in kept["whole"].items():
                if whole_digest(place / f"{name}.npy") != digest:
                    yield place, f"{name}.npy was changed after it was written"
                    break
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            yield place, f"cannot be read ({error})"


def remove_artifact(place: Path) -> None:
    """Remove an artifact; processes that have it mapped into memory keep it."""
    shutil.rmtree(place)


def can_write(folder: Path) -> bool:
    """Return whether artifacts can be added to a cache folder, or the folder be made."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return os.access(nearest, os.W_OK | os.X_OK)


def _open(place: Path, key: Mapping[str, Any]) -> Prepared | str | None:
    """Return the artifact at ``place``, or what is wrong with it, or None if there is none."""
    if not place.exists():
        return None
    refuse_shared_folder(place, f"prepared knowledge {place}")
    try:
        kept = _manifest(place)
        if kept["format"] != _FORMAT or kept["key"] != json.loads(json.dumps(key)):
            return f"{_META} describes another artifact"
        for name, size in kept["bytes"].items():
            found = (place / f"{name}.npy").stat().st_size
            if found != size:
                return f"{name}.npy has {found:,} bytes instead of {size:,}"
            if sampled_digest(place / f"{name}.npy") != kept["sampled"][name]:
                return f"{name}.npy was changed after it was written"
        return Prepared(
            {name: open_mapped(str((place / f"{name}.npy").resolve())) for name in kept["bytes"]}, kept["meta"]
        )
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"cannot be read ({error})"


def _build(folder: Path, place: Path, key: Mapping[str, Any], build: Callable[[Writer], None]) -> None:
    with _explained(folder):
        for left in folder.glob(f"{place.name}.*partial"):  # its builder was killed: this process holds the lock
            shutil.rmtree(left)
        partial = folder / f"{place.name}.{secrets.token_hex(8)}.partial"
        partial.mkdir(mode=0o700)
    writer = Writer(partial)
    try:
        build(writer)
        writer._seal(key)
        with _explained(folder):
            if place.exists():
                place.rename(folder / f"{place.name}.damaged.partial")
            partial.rename(place)
            flush_folder(folder)
            shutil.rmtree(folder / f"{place.name}.damaged.partial", ignore_errors=True)
    except BaseException:
        writer._abandon()  # Windows removes no open files
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def _locked(folder: Path, name: str, notify: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of one artifact; the system releases it when its holder dies."""
    with _explained(folder):
        lock = FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            notify(f"kis: another process prepares {name} in {folder}; waiting for it")
            lock.acquire(poll_interval=0.1)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn the errors of a folder that cannot be written to into one that says what to do."""
    try:
        yield
    except (OSError, NotImplementedError) as error:
        raise KISError(_problem(folder, getattr(error, "strerror", None) or str(error))) from error


def _problem(folder: Path, found: str) -> Problem:
    expected = "a folder on a local disk with free space, writable by you"
    return Problem(
        f"cache folder {folder}", found, expected, "Choose another one with the key cache or with KIS_CACHE."
    )
