"""Arrays in ``.npy`` files: memory-mapped for reading, written piece by piece."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.storage.atomic_write import flush

__all__ = ["Array", "GrowingFile", "Mapped", "open_mapped", "release"]

Array = npt.NDArray[Any]

_HEADER = 128  # bytes of the .npy header, enough for any length


class Mapped(np.ndarray[Any, np.dtype[Any]]):
    """A memory-mapped array. The whole array pickles as its path, a part of it as its numbers."""

    path: str | None = None

    def __reduce__(self) -> Any:
        """Return how to open the file again, for pickle."""
        return (open_mapped, (self.path,)) if self.path else np.asarray(self).__reduce__()

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """Return the result of a computation as a plain array."""
        plain = np.asarray(array)
        return plain if plain.shape else plain[()]


def open_mapped(path: str) -> Mapped:
    """Map a ``.npy`` file into memory, read-only."""
    array: Mapped = np.load(path, mmap_mode="r").view(Mapped)
    array.path = path
    return array


def release(*arrays: Array) -> None:
    """Release the pages of memory-mapped arrays from this process; they are mapped again on the next access."""
    for array in arrays:
        base: Any = array
        while base is not None and not isinstance(base, mmap.mmap):
            base = getattr(base, "base", None)
        if base is not None and hasattr(mmap, "MADV_DONTNEED"):
            base.madvise(mmap.MADV_DONTNEED)


class GrowingFile:
    """A one-dimensional ``.npy`` file whose length is known only at the end.

    Args:
        path: A file that does not exist yet.
        dtype: The dtype of every piece.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._file = path.open("xb")
        self._file.write(bytes(_HEADER))
        self._dtype = dtype
        self._count = 0

    def write(self, array: Array) -> None:
        """Add a piece.

        Raises:
            ValueError: It has another dtype.
        """
        if array.dtype != self._dtype:
            raise ValueError(f"{self._file.name}: a piece of {array.dtype} after one of {self._dtype}")
        self._file.write(np.ascontiguousarray(array).data)
        self._count += len(array)

    def abandon(self) -> None:
        """Close the file as it is, without a header: nothing reads it."""
        self._file.close()

    def close(self) -> None:
        """Write the header (numpy's format 1.0) and flush the file to the disk."""
        described = np.lib.format.dtype_to_descr(self._dtype)
        header = repr({"descr": described, "fortran_order": False, "shape": (self._count,)}).encode("latin1")
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", _HEADER - 10)
        with self._file as file:
            file.seek(0)
            file.write(start + header.ljust(_HEADER - 11) + b"\n")
            flush(file)
