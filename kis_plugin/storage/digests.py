"""Digests of arrays on disk: a changed byte is noticed, at a cost that does not grow with the file.

Two digests are kept of each file. One is of samples: the first and the last piece and pieces at even distances between
them, which is compared at every opening. The other is of all bytes, which ``kis prepare --verify`` compares. Files of
up to the sampled size are read whole by both.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

__all__ = ["file_digest", "sampled_digest", "whole_digest"]

_PIECE = 1 << 16  # bytes
_PIECES = 64  # 4 MiB, read in some milliseconds


def sampled_digest(path: Path) -> str:
    """Return a BLAKE2b digest of the size and of evenly spaced pieces; of a small file of all of it."""
    digest = hashlib.blake2b(digest_size=16)
    size = path.stat().st_size
    digest.update(str(size).encode())
    with path.open("rb") as file:
        if size <= _PIECE * _PIECES:
            digest.update(file.read())
        else:
            for number in range(_PIECES):
                file.seek(number * (size - _PIECE) // (_PIECES - 1))
                digest.update(file.read(_PIECE))
    return digest.hexdigest()


def whole_digest(path: Path) -> str:
    """Return a BLAKE2b digest of all bytes."""
    return file_digest(path, hashlib.blake2b(digest_size=16))


def file_digest(path: Path, digest: Any) -> str:
    """Return the hexadecimal digest of all bytes of a file, by a new digest of ``hashlib``."""
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return str(digest.hexdigest())
