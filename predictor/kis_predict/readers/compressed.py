"""Compressed files as streams with bounds. The first bytes of a file, not its name, say how it is compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.compressed_files import ZSTD_ERRORS, zstd_file

__all__ = ["COMPRESSED", "DAMAGED", "FREE", "MOST_BYTES", "ByteStream", "open_stream", "plain_name"]

COMPRESSED = (".gz", ".xz", ".bz2", ".zst")
MOST_BYTES = 8 * 2**30
"""Decompressed bytes that one file may give: four logs of 2 GB. A few hundred kB can be made to hold terabytes."""
DAMAGED: tuple[type[Exception], ...] = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, *ZSTD_ERRORS)
FREE = 256 * 2**20
"""Bytes that stay free on the disk of temporary copies."""
_XZ_MEMORY = 256 * 2**20
"""An .xz file names the memory that reading it takes; ``xz -9`` needs 65 MB, a hostile file for 4 GB."""
_CHUNK = 2**16


class ByteStream(Protocol):
    """What is read in pieces."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""


def plain_name(name: str) -> str:
    """Return a file's name without the ending of its compression: ``sweep.csv`` for ``sweep.csv.gz``."""
    return next((name[: -len(ending)] for ending in COMPRESSED if name.lower().endswith(ending)), name)


def open_stream(path: Path, most: int = MOST_BYTES) -> Bounded:
    """Open a file to be read in pieces, decompressed if it is compressed. Use it in a ``with`` statement.

    Args:
        path: Any file.
        most: Bytes that it may give.

    Raises:
        KISError: Its compression needs a package that is not installed; while reading, it gives more than ``most``
            bytes, or is damaged.
        OSError: It cannot be opened.
    """
    file = path.open("rb")
    try:
        first = file.read(6)
        file.seek(0)
        opened = next((opener for magic, opener in _OPENERS if first.startswith(magic)), None)
        return Bounded(path, file, file if opened is None else opened(path, file), most)
    except BaseException:
        file.close()
        raise


class Bounded:
    """A stream that counts what it gives and refuses to go on past a limit."""

    def __init__(self, path: Path, file: BinaryIO, stream: ByteStream, most: int) -> None:
        self.path, self._file, self._stream, self._most = path, file, stream, most
        self.given = 0

    def __enter__(self) -> Bounded:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, size: int = _CHUNK, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        try:
            data = self._stream.read(size)
        except DAMAGED as error:
            raise KISError(Problem(str(self.path), f"a damaged file ({error})", "a compressed file, whole")) from error
        self.given += len(data)
        if self.given > self._most:
            found = f"more than {self._most:,} bytes once decompressed"
            raise KISError(Problem(str(self.path), found, "logs of a sweep", "Split it, or leave large files out."))
        return data


class _XZ:
    """Reads .xz with a bound on memory, which ``lzma.open`` does not take."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._file, self._rest = file, b""
        self._decompressor = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decompressor.eof:
                # Streams may follow each other, with padding of zeros between them.
                self._rest = (self._decompressor.unused_data or self._rest).lstrip(b"\0") or self._file.read(_CHUNK)
                if not self._rest.strip(b"\0"):
                    return b""
                self._decompressor = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            elif self._decompressor.needs_input and not self._rest:
                self._rest = self._file.read(_CHUNK)
                if not self._rest:
                    raise EOFError("it ends before its end mark")
            data, self._rest = self._decompressor.decompress(self._rest, size), b""
            if data:
                return data


def _gzip(path: Path, file: BinaryIO) -> ByteStream:
    return gzip.GzipFile(fileobj=file, mode="rb")


def _bz2(path: Path, file: BinaryIO) -> ByteStream:
    return bz2.BZ2File(file)


def _zstd(path: Path, file: BinaryIO) -> ByteStream:
    return zstd_file(file, str(path))


_OPENERS: tuple[tuple[bytes, Callable[[Path, BinaryIO], ByteStream]], ...] = (
    (b"\xfd7zXZ\0", _XZ),
    (b"\x1f\x8b", _gzip),
    (b"BZh", _bz2),
    (b"\x28\xb5\x2f\xfd", _zstd),
)
