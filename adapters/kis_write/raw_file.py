"""One file of tokens that processes write at once, each its own stretch."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kis_plugin.storage.atomic_write import explained_writing

__all__ = ["raw_type", "write_stretch"]


def raw_type(vocabulary: int) -> type[np.integer]:
    """Return the type of token ids in files without a header: the smaller of uint16 and uint32 that holds all."""
    return np.uint16 if vocabulary <= 1 << 16 else np.uint32


def write_stretch(path: Path, tokens: npt.NDArray[np.integer], at: int) -> None:
    """Write tokens at token ``at`` of a file, which is made where it is missing and grows as it must."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o666)
    with explained_writing(str(path)), os.fdopen(handle, "r+b") as file:
        file.seek(at * tokens.dtype.itemsize)
        file.write(np.ascontiguousarray(tokens).data)
