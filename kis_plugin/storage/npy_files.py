"""Arrays in ``.npy`` files: memory-mapped for reading, written piece by piece."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.atomic_write import flush
from kis_plugin.storage.regular_files import refuse_special_file

__all__ = ["Array", "GrowingFile", "Mapped", "open_mapped", "read_array", "read_raw", "release"]

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


def read_array(path: Path, where: str = "", hint: str = "") -> Array:
    """Map the array of a ``.npy`` file that someone else may have written; pickles in it are refused.

    Args:
        path: The file.
        where: What an error calls it; the path by default.
        hint: What to do about a file that is none.

    Raises:
        KISError: It cannot be read, or is no ``.npy`` file.
    """
    where, expected = where or str(path), "a file that numpy.save wrote"
    refuse_special_file(path)
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header makes numpy raise errors of every kind
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise KISError(Problem(where, reason[:200], expected, hint)) from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise KISError(Problem(where, "an archive of arrays", f"{expected}, one array", hint))
    return found


def read_raw(path: Path, dtype: type[np.generic], width: int = 1) -> Array:
    """Map a file of numbers without a header as an array of rows: (rows, width).

    Raises:
        KISError: It cannot be read, is empty, or ends inside a row.
    """
    expected = f"rows of {width:,} {np.dtype(dtype).name}" if width > 1 else f"numbers of type {np.dtype(dtype).name}"
    try:
        refuse_special_file(path)
        size, row = path.stat().st_size, np.dtype(dtype).itemsize * width
        if not size or size % row:
            raise KISError(Problem(str(path), f"{size:,} bytes", f"{expected}: a multiple of {row:,} bytes"))
        return np.memmap(path, dtype=dtype, mode="r").reshape(-1, width)
    except OSError as error:
        raise KISError(Problem(str(path), error.strerror or str(error), expected)) from error


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
