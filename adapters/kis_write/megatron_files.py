"""Megatron's indexed data sets, ``.bin`` and ``.idx``: the bytes that ``megatron.core.datasets`` reads."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.regular_files import refuse_special_file

__all__ = ["Index", "index_bytes", "read_index"]

_MAGIC = b"MMIDIDX\x00\x00"
_HEAD = struct.Struct("<QBQQ")  # version, type, sequences, ends of documents
_CODES: dict[int, type[np.integer]] = {
    1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 8: np.uint16,
}  # fmt: skip


@dataclass(frozen=True)
class Index:
    """What an ``.idx`` says of its ``.bin``.

    Attributes:
        dtype: Of the tokens.
        lengths: (documents,) tokens of each.
    """

    dtype: type[np.integer]
    lengths: npt.NDArray[np.int32]


def read_index(path: Path) -> Index:
    """Read an ``.idx``.

    Raises:
        KISError: It is missing, cut, or no index of Megatron's.
    """
    try:
        refuse_special_file(path)
        raw = path.read_bytes()
    except OSError as error:
        raise KISError(Problem(str(path), error.strerror or str(error), "the .idx beside a .bin")) from error
    start = len(_MAGIC) + _HEAD.size
    if not raw.startswith(_MAGIC) or len(raw) < start:
        raise KISError(Problem(str(path), "a file of another kind, or a cut one", "an .idx of Megatron's"))
    _, code, sequences, _ = _HEAD.unpack_from(raw, len(_MAGIC))
    if code not in _CODES or len(raw) < start + 12 * sequences:
        raise KISError(Problem(str(path), "a cut file, or tokens of an unknown type", "an .idx of Megatron's"))
    lengths = np.frombuffer(raw, dtype=np.int32, count=sequences, offset=start)
    if lengths.min(initial=0) < 0:
        raise KISError(Problem(str(path), f"a document of {lengths.min()} tokens", "an .idx of Megatron's"))
    return Index(_CODES[code], lengths)


def index_bytes(lengths: Sequence[int], dtype: type[np.integer]) -> bytes:
    """Return the ``.idx`` of documents of some lengths, as ``IndexedDatasetBuilder`` writes it."""
    code = next(code for code, known in _CODES.items() if known is dtype)
    sizes = np.array(lengths, dtype=np.int32)
    bytes_before = (np.cumsum(sizes, dtype=np.int64) - sizes) * np.dtype(dtype).itemsize
    head = _MAGIC + _HEAD.pack(1, code, len(sizes), len(sizes) + 1)
    return head + sizes.tobytes() + bytes_before.tobytes() + np.arange(len(sizes) + 1, dtype=np.int64).tobytes()
