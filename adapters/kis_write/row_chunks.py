"""Chunks of rows of one size, as MDS and litdata store them: a count, where each row begins, and the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["chunk_bytes", "rows_of_chunk"]


def chunk_bytes(rows: npt.NDArray[np.int32], before_each: bytes = b"", about: bytes = b"") -> bytes:
    """Return a chunk.

    Args:
        rows: (rows, tokens).
        before_each: Bytes before the tokens of every row.
        about: Bytes between the places of the rows and the first row.
    """
    prefix = np.broadcast_to(np.frombuffer(before_each, dtype=np.uint8), (len(rows), len(before_each)))
    tokens = np.ascontiguousarray(rows, dtype="<i4").view(np.uint8)
    body = np.concatenate([prefix, tokens], axis=1)  # (rows, bytes of a row)
    first = 4 * (len(rows) + 2) + len(about)
    places = first + np.arange(len(rows) + 1, dtype=np.int64) * body.shape[1]
    head = np.concatenate([[len(rows)], places]).astype("<u4")
    return bytes(head.tobytes() + about + body.tobytes())


def rows_of_chunk(path: Path, tokens: int) -> npt.NDArray[np.int32]:
    """Return the rows of a chunk, (rows, tokens): the last ``tokens`` of each, whatever stands before them."""
    raw = np.fromfile(path, dtype=np.uint8)
    count = int(raw[:4].view("<u4")[0])
    first, *_, end = raw[4 : 4 * (count + 2)].view("<u4").tolist()
    body = raw[first:end].reshape(count, -1)[:, -4 * tokens :]
    found: npt.NDArray[np.int32] = np.ascontiguousarray(body).view("<i4").astype(np.int32, copy=False)
    return found
