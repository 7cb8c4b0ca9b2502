"""Where base text lies: files of this machine, and files of an object store by their URLs."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.sources.text_files import kind_of
from kis_plugin.storage.urls import file_system, is_url, reason_of

__all__ = ["Place", "identity_of", "listed", "name_of", "opened", "place_of", "size_of", "version_of"]

Place = Path | str
"""A path, or a URL as text."""
_BUFFER = 1 << 20  # bytes read at a time from a store
_CHANGES = (
    "ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "crc32c", "generation", "LastModified", "Last-Modified",
    "last_modified", "updated", "mtime", "modified", "created",
)  # fmt: skip
"""What fsspec's file systems call that which changes with the content of a file."""


def place_of(text: str) -> Place:
    """Return the place that a text names. ``file://`` is a path, so that no file is read under two names."""
    if not is_url(text):
        return Path(text)
    scheme, _, rest = text.partition("://")
    return Path(rest) if scheme in ("file", "local") else text


def name_of(place: Place) -> PurePath:
    """Return the last part of a place, with the ending that says what it holds."""
    return place if isinstance(place, Path) else PurePosixPath(place.partition("?")[0])


def identity_of(place: Place) -> str:
    """Return what two names of one file share."""
    return str(place.resolve()) if isinstance(place, Path) else place


def listed(place: Place, kinds: Sequence[str]) -> tuple[bool, list[Place]]:
    """Return whether a place is a folder, and its files: those of some kinds in a folder and below, sorted; or itself.

    Raises:
        KISError: A store that cannot be read.
    """
    if isinstance(place, Path):
        if place.is_dir():
            return True, sorted(file for file in place.rglob("*") if kind_of(file) in kinds and file.is_file())
        return False, [place] if place.is_file() else []
    files, root = file_system(place, place)
    try:
        files.invalidate_cache()  # what was listed before may have changed
        if files.isfile(root):
            return False, [str(files.unstrip_protocol(root))]  # as it is written in folders
        found = sorted(files.find(root))
    except Exception as error:
        raise KISError(Problem(place, reason_of(error), "a file or folder that can be read")) from error
    urls = [str(files.unstrip_protocol(path)) for path in found if kind_of(PurePosixPath(path)) in kinds]
    return bool(found), list(urls)


def size_of(place: Place) -> int:
    """Return the bytes of a file as it is stored.

    Raises:
        KISError: The store does not say.
    """
    if isinstance(place, Path):
        return place.stat().st_size
    size = _info(place).get("size")
    if not isinstance(size, int):
        raise KISError(Problem(place, "a file of unknown size", "a store that says how long its files are"))
    return size


def version_of(place: Place) -> str:
    """Return what changes with the content of a file.

    Raises:
        KISError: The file is gone, or the store says nothing of the kind.
    """
    if isinstance(place, Path):
        try:
            found = place.stat()
        except OSError as error:
            raise KISError(Problem(str(place), error.strerror or str(error), "a file of the base text")) from error
        return f"{found.st_size} {found.st_mtime_ns}"
    info = _info(place, fresh=True)
    known = {name: info[name] for name in _CHANGES if info.get(name) is not None}
    if not known:
        hint = "Copy the text to a store that has checksums or times of change."
        raise KISError(Problem(place, "neither a checksum nor a time of change", "one, to see changes by", hint))
    return json.dumps(known | {"size": info.get("size")}, default=str, sort_keys=True)


def opened(place: Place) -> IO[bytes]:
    """Open a file, to be read from any byte on.

    Raises:
        OSError: A file of this machine that cannot be opened.
        KISError: One of a store.
    """
    if isinstance(place, Path):
        return place.open("rb")
    files, root = file_system(place, place)
    try:
        return io.BufferedReader(_Store(files.open(root, "rb"), place), _BUFFER)
    except Exception as error:
        raise KISError(Problem(place, reason_of(error), "a file that can be read")) from error


class _Store(io.RawIOBase):
    """A file of a store whose errors, of any class, are those of a file that cannot be read."""

    def __init__(self, file: Any, url: str) -> None:
        self._file, self._url = file, url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any, /) -> int:
        try:
            data = self._file.read(len(buffer))
        except Exception as error:
            raise KISError(Problem(self._url, reason_of(error), "a file that can be read")) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _info(url: str, fresh: bool = False) -> dict[str, Any]:
    files, root = file_system(url, url)
    try:
        if fresh:
            files.invalidate_cache()
        info: dict[str, Any] = files.info(root)
    except Exception as error:
        raise KISError(Problem(url, reason_of(error), "a file of the base text")) from error
    return info
