"""One file of tokens that processes write at once, each its own stretch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kis_plugin.storage.atomic_write import explained_writing
from kis_plugin.storage.regular_files import open_in_place

__all__ = ["raw_type", "write_stretch"]


def raw_type(vocabulary: int) -> type[np.integer]:
    """Return the type of token ids in files without a header: the smaller of uint16 and uint32 that holds all."""
    return np.uint16 if vocabulary <= 1 << 16 else np.uint32


def write_stretch(path: Path, tokens: npt.NDArray[np.integer], at: int) -> None:
    """Write tokens at token ``at`` of a file, which is made where it is missing and grows as it must."""
    with explained_writing(str(path)), open_in_place(path) as file:
        file.seek(at * tokens.dtype.itemsize)
        rest = np.ascontiguousarray(tokens).view(np.uint8).data
        while rest:  # a disk may take a part of it before it is full
            rest = rest[file.write(rest) :]
