"""Files behind URLs such as ``s3://bucket/corpus``, by fsspec."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from kis_plugin.errors import KISError, Problem

__all__ = ["file_system", "is_url", "reason_of"]

_CHAINED = re.compile(r"[a-z][a-z0-9+.-]+::", re.IGNORECASE)
_WRAPPERS = {
    "async_wrapper", "asyncwrapper", "blockcache", "cached", "dask", "data", "dir", "filecache", "generic",
    "libarchive", "reference", "simplecache", "tar", "zip",
}  # fmt: skip


def is_url(place: str) -> bool:
    """Return whether ``place`` is a URL such as ``s3://bucket/runs``, or another form that fsspec knows."""
    return "://" in place or bool(_CHAINED.match(place))


def file_system(url: str, where: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path on it.

    Args:
        url: In any scheme that an installed fsspec knows.
        where: Names it in an error.

    Raises:
        KISError: A chained or wrapping URL, or fsspec or what it needs for the scheme is missing.
    """
    scheme = url.split("://", 1)[0].lower()
    if "::" in url or scheme in _WRAPPERS:
        # Wrappers read what their content names, from anywhere, and unpack without bounds.
        hint = "Fetch the archive and name that file, or the folder behind it."
        raise KISError(Problem(where, "a chained or wrapping URL", "the URL of a folder or a file", hint))
    try:
        fsspec = import_module("fsspec")
    except ImportError as error:
        hint = "pip install 'kis-plugin[remote]', or 'kis-plugin[s3]' for s3://."
        raise KISError(Problem(where, "a URL, and no fsspec to read it", "the package fsspec", hint)) from error
    try:
        files, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        hint = "pip install 'kis-plugin[s3]'." if scheme in ("s3", "s3a") else ""
        found = str(error).strip().split("\n")[0]
        raise KISError(Problem(where, found, f"a URL whose scheme ({scheme}) fsspec can read here", hint)) from error
    return files, root


def reason_of(error: Exception) -> str:
    """Return the first line of an error of a store: each scheme has its own for refused access and missing files."""
    return f"{type(error).__name__}: {error}".split("\n")[0]
