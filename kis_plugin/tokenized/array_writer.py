"""Writes tokenized texts into the arrays of ``TokenizedTexts``, batch by batch, and hashes all that is written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray

__all__ = ["ArrayWriter", "TextBatch", "TextWriter"]


class ArrayWriter(Protocol):
    """Where arrays go; ``kis_plugin.storage.artifact_cache.Writer`` is one."""

    meta: dict[str, Any]

    def append(self, name: str, array: npt.NDArray[Any]) -> None:
        """Add a piece to a one-dimensional array."""


@dataclass(frozen=True)
class TextBatch:
    """Some tokenized texts.

    Attributes:
        entries: Which fact or passage each text is about, (texts,).
        own: How many templates its fact has, (texts,).
        ids: Tokens end to end, without EOS, (total,).
        lengths: (texts,).
        targets: (total,) 1 for tokens that are training targets; None if all are.
        problems: Texts that do not fit a row.
    """

    entries: npt.NDArray[np.int32]
    own: npt.NDArray[np.int32]
    ids: npt.NDArray[np.int32]
    lengths: IntArray
    targets: npt.NDArray[np.uint8] | None = None
    problems: Sequence[Problem] = ()


class TextWriter:
    """Writes batches of texts as they come, and hashes what it writes.

    Args:
        writer: Where the arrays go.
        begin: The token that is put before each text; None for none.
        eos: The token that is put after each text; None for none.
        vocabulary: One more than the greatest token id; decides the type that tokens are kept in.
        objects_only: Whether there is an array of training targets.
    """

    def __init__(
        self, writer: ArrayWriter, begin: int | None, eos: int | None, vocabulary: int, objects_only: bool
    ) -> None:
        self._writer, self._begin, self._eos = writer, begin, eos
        self._dtype = np.dtype(np.uint16 if vocabulary <= 1 << 16 else np.int32)
        self._vocabulary = vocabulary
        self._hashes: dict[str, Any] = {}
        self._end = 0
        nothing = np.empty(0, dtype=np.int32)
        self._put("tokens", nothing, self._dtype)
        self._put("offsets", np.zeros(1, dtype=np.int64))
        self._put("entry", nothing)
        self._put("own", nothing)
        if objects_only:
            self._put("targets", nothing.astype(np.uint8))

    def write(self, texts: TextBatch, first: bool) -> None:
        """Write some texts; those in the first template also say what they are about.

        Raises:
            KISError: A token id outside the vocabulary.
        """
        if len(texts.ids) and int(texts.ids.max()) >= self._vocabulary:
            found = f"token {texts.ids.max()}"
            raise KISError(Problem("tokenizer", found, f"ids below {self._vocabulary}, as many as breaks() judges"))
        tokens, lengths = _framed(texts.ids, texts.lengths, self._begin, self._eos)
        self._put("tokens", tokens, self._dtype)
        ends = self._end + np.cumsum(lengths)
        self._put("offsets", ends)
        self._end = int(ends[-1]) if len(ends) else self._end
        if texts.targets is not None:
            begin, eos = (None if token is None else 0 for token in (self._begin, self._eos))
            self._put("targets", _framed(texts.targets, texts.lengths, begin, eos)[0])
        if first:
            self._put("entry", texts.entries)
            self._put("own", texts.own)

    def fingerprint(self) -> str:
        """Return a hash of all that was written, independent of the batches it came in."""
        digests = "".join(f"{name} {part.hexdigest()}\n" for name, part in sorted(self._hashes.items()))
        return hashlib.sha256(digests.encode()).hexdigest()[:16]

    def _put(self, name: str, array: npt.NDArray[Any], dtype: np.dtype[Any] | None = None) -> None:
        self._hashes.setdefault(name, hashlib.sha256()).update(np.ascontiguousarray(array).data)
        self._writer.append(name, array if dtype is None else array.astype(dtype, copy=False))


def _framed(
    ids: npt.NDArray[Any], lengths: IntArray, begin: int | None, eos: int | None
) -> tuple[npt.NDArray[Any], IntArray]:
    """Return texts with ``begin`` before and ``eos`` after each, and their lengths with these; None adds nothing."""
    added = [token is not None for token in (begin, eos)]
    if not any(added):
        return ids, lengths
    longer = lengths + sum(added)
    ends = np.cumsum(longer)
    inside = np.ones(len(ids) + sum(added) * len(lengths), dtype=np.bool_)
    out = np.empty(len(inside), dtype=ids.dtype)
    for token, places in ((begin, ends - longer), (eos, ends - 1)):
        if token is not None:
            inside[places], out[places] = False, token
    out[inside] = ids
    return out, longer
