"""Files compressed with gzip, xz or zstd, by their endings, as streams of their content."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import IO, Any

from kis_plugin.errors import KISError, Problem

__all__ = ["BROKEN", "COMPRESSED", "ZSTD_ERRORS", "decompressed", "zstd_file"]


def _zstd_module() -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


_zstd = _zstd_module()
ZSTD_ERRORS: tuple[type[Exception], ...] = () if _zstd is None else (_zstd.ZstdError,)
"""The errors of damaged files that :func:`zstd_file` opened."""


def decompressed(raw: IO[bytes], ending: str, where: str) -> IO[bytes]:
    """Return the content of an open file: the file itself if its ending names no compression.

    Args:
        raw: The file as it is stored.
        ending: ``.gz`` and the like, in any case.
        where: Names the file in an error.

    Raises:
        KISError: What it is compressed with needs a package that is not installed.
    """
    opener = _OPENERS.get(ending.lower())
    return raw if opener is None else opener(raw, where)


def _gz(raw: IO[bytes], where: str) -> IO[bytes]:
    return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]


def _xz(raw: IO[bytes], where: str) -> IO[bytes]:
    return lzma.LZMAFile(raw)


def zstd_file(raw: IO[bytes], where: str) -> IO[bytes]:
    """Return the content of an open file compressed by zstd.

    Raises:
        KISError: No module of this Python reads it.
    """
    if _zstd is None:
        hint = "Python 3.14 has it; else pip install 'kis-plugin[zstd]'."
        raise KISError(Problem(where, "a file compressed by zstd", "a Python that reads it", hint))
    file: IO[bytes] = _zstd.ZstdFile(raw)
    return file


_OPENERS: dict[str, Callable[[IO[bytes], str], IO[bytes]]] = {".gz": _gz, ".xz": _xz, ".zst": zstd_file}
COMPRESSED = tuple(_OPENERS)
BROKEN: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, lzma.LZMAError, *ZSTD_ERRORS)
"""The errors of files that cannot be read or are damaged."""
