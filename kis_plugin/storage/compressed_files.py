"""Compressed files as bounded streams of their content: the one reader for knowledge, base text and logs.

The first bytes of a file say how it is compressed. A few hundred kB can be made to hold terabytes, and a header can
name a dictionary of gigabytes: what a file may give, and the memory that reading it takes, are bounded.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, cast

from kis_plugin.errors import KISError, Problem

__all__ = [
    "BROKEN", "COMPRESSED", "MOST_BYTES", "content_of", "is_compressed", "open_stream", "plain_name",
]  # fmt: skip

COMPRESSED = (".gz", ".xz", ".bz2", ".zst")
MOST_BYTES = 8 * 2**30
"""Bytes that a log may give, compressed or not: four logs of 2 GB."""
_LEAST_BOUND = 2**30
_MOST_RATIO = 250
"""Text compresses to a tenth, JSON records that differ in a number to a hundredth; zeros to a thousandth and less."""
_MOST_MEMORY = 256 * 2**20
"""An .xz file names the memory that reading it takes; ``xz -9`` needs 65 MB, a hostile file for 4 GB. The modules of
zstd refuse windows above 128 MB by themselves; gzip and bzip2 need less than 4 MB."""
_CHUNK = 2**16
_HEAD = 10  # bytes that tell compressed files from others


class _ByteStream(Protocol):
    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""


def _zstd_module() -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


_zstd = _zstd_module()
_DAMAGED: tuple[type[Exception], ...] = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
_DAMAGED += () if _zstd is None else (_zstd.ZstdError,)
BROKEN: tuple[type[Exception], ...] = (OSError, *_DAMAGED)
"""The errors of files that cannot be read or are damaged."""


def plain_name(name: str) -> str:
    """Return a file's name without the ending of its compression: ``sweep.csv`` for ``sweep.csv.gz``."""
    return next((name[: -len(ending)] for ending in COMPRESSED if name.lower().endswith(ending)), name)


def is_compressed(file: IO[bytes]) -> bool:
    """Return whether an open file begins as compressed ones do; it is left at its first byte."""
    return _opener(file, "") is not None


def content_of(file: IO[bytes], where: str, ending: str = "") -> IO[bytes]:
    """Return the content of an open file: the file itself, to be sought in, if it is not compressed.

    A compressed file may give 250 times its own bytes, or 1 GiB where that is more.

    Args:
        file: The file as it is stored, at its first byte.
        where: Names it in an error.
        ending: That of its name. A name that claims a compression is believed, so that a file whose first bytes are
            damaged is not taken for text.

    Raises:
        KISError: Its compression needs a package that is not installed; while reading, it gives too many bytes,
            or reading it takes more memory than any compressor asks for.
    """
    opener = _opener(file, ending)
    if opener is None:
        return file
    most = max(_LEAST_BOUND, _MOST_RATIO * file.seek(0, io.SEEK_END))
    file.seek(0)
    return _buffered(_Bounded(opener(file, where), where, most))


def open_stream(path: Path, most: int = MOST_BYTES) -> BinaryIO:
    """Open a log to be read once from its start, decompressed if it is compressed. Use it in a ``with`` statement.

    Args:
        path: Any file.
        most: Bytes that it may give, compressed or not.

    Raises:
        KISError: Its compression needs a package that is not installed; while reading, it gives more than ``most``
            bytes, or is damaged.
        OSError: It cannot be opened.
    """
    file = path.open("rb")
    try:
        opener = _opener(file, "")
        stream = file if opener is None else opener(file, str(path))
        return _buffered(_Whole(stream, str(path), most, file))
    except BaseException:
        file.close()
        raise


class _Bounded(io.RawIOBase):
    """A stream that counts what it gives and refuses to go on past a limit."""

    def __init__(self, stream: _ByteStream, where: str, most: int, file: IO[bytes] | None = None) -> None:
        self._stream, self._where, self._most, self._file = stream, where, most, file
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._read(len(buffer))
        self._given += len(data)
        if self._given > self._most:
            hint = "If it is what it should be, decompress it and give that file, or several smaller ones."
            found = f"more than {self._most:,} bytes once decompressed"
            raise KISError(Problem(self._where, found, f"{self._most:,} bytes at most", hint))
        buffer[: len(data)] = data
        return len(data)

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except lzma.LZMAError as error:
            if "emory" not in str(error):
                raise
            found = f"a file that takes more than {_MOST_MEMORY:,} bytes of memory to decompress"
            hint = "Compress it with xz -9 or less."
            raise KISError(Problem(self._where, found, "less", hint)) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


class _Whole(_Bounded):
    """One whose damage is an error with its name; other readers add the line after which it is damaged."""

    def _read(self, size: int) -> bytes:
        try:
            return super()._read(size)
        except _DAMAGED as error:
            raise KISError(Problem(self._where, f"a damaged file ({error})", "a compressed file, whole")) from error


def _buffered(raw: io.RawIOBase) -> BinaryIO:
    return cast("BinaryIO", io.BufferedReader(raw, _CHUNK))


class _XZ:
    """Reads .xz with a bound on memory, which ``lzma.open`` does not take."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        self._file, self._rest = file, file.read(_CHUNK)
        if self._rest and not _OPENERS[".xz"][0].match(self._rest):
            raise lzma.LZMAError("Input format not supported by decoder")
        self._decompressor = self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decompressor.eof:
                # Streams may follow each other, with padding of zeros between them.
                self._rest = (self._decompressor.unused_data or self._rest).lstrip(b"\0") or self._file.read(_CHUNK)
                if not self._rest.strip(b"\0"):
                    return b""
                self._decompressor = self._new()
            elif self._decompressor.needs_input and not self._rest:
                self._rest = self._file.read(_CHUNK)
                if not self._rest:
                    raise EOFError("Compressed file ended before the end-of-stream marker was reached")
            data, self._rest = self._decompressor.decompress(self._rest, size), b""
            if data:
                return data


def _gzip(file: IO[bytes], where: str) -> _ByteStream:
    return gzip.GzipFile(fileobj=file, mode="rb")


def _bz2(file: IO[bytes], where: str) -> _ByteStream:
    return bz2.BZ2File(file)


def _zstd_file(file: IO[bytes], where: str) -> _ByteStream:
    if _zstd is None:
        hint = "Python 3.14 has it; else pip install 'kis-plugin[zstd]'."
        raise KISError(Problem(where, "a file compressed by zstd", "a Python that reads it", hint))
    return cast("_ByteStream", _zstd.ZstdFile(file))


_Opener = Callable[[IO[bytes], str], _ByteStream]
_OPENERS: dict[str, tuple[re.Pattern[bytes], _Opener]] = {
    ".xz": (re.compile(rb"\xfd7zXZ\0"), _XZ),
    ".gz": (re.compile(rb"\x1f\x8b"), _gzip),
    # The mark of its first block, or of its end: a text may begin with BZh.
    ".bz2": (re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), _bz2),
    # A frame of content, or one to be skipped, with which pzstd begins.
    ".zst": (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), _zstd_file),
}
"""By ending: how such files begin, and how they are read."""


def _opener(file: IO[bytes], ending: str) -> _Opener | None:
    head = file.read(_HEAD)
    file.seek(0)
    named = _OPENERS[ending.lower()][1] if ending.lower() in _OPENERS else None
    return next((opener for begins, opener in _OPENERS.values() if begins.match(head)), named)
