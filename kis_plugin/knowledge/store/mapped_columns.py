"""Memory-mapped columns of facts or passages: texts and validity of some entries, or of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.storage.npy_files import release

__all__ = ["MappedColumns"]

_ENTRIES = 1 << 17  # entries processed at a time
_MAPPED = 1 << 26  # approximate bytes of mapped pages that the process keeps
_TOUCHED = 1 << 16  # bytes that the system maps when one byte is read (read-around)


class MappedColumns:
    """The columns of entries with several texts each, and with their validity.

    Args:
        arrays: ``<prefix>_text``: all texts in UTF-8; ``_ends``: where each entry ends in it; ``_length0`` and so on:
            bytes of each text but the last; ``_timed``: entries that hold for a part of the run; ``_start`` and
            ``_until``: that part.
        prefix: Prefix of the columns' names.
        fields: Texts of an entry.
    """

    def __init__(self, arrays: Mapping[str, Any], prefix: str, fields: int) -> None:
        self._text = arrays[f"{prefix}_text"]
        self._ends = arrays[f"{prefix}_ends"]
        self._lengths = [arrays[f"{prefix}_length{field}"] for field in range(fields - 1)]
        self._timed, self._start, self._until = (arrays[f"{prefix}_{name}"] for name in ("timed", "start", "until"))
        self._mapped = 0

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def changes(self) -> bool:
        """Whether any entry holds for a part of the run only."""
        return len(self._timed) > 0

    def texts(self, places: IntArray, fields: int) -> list[list[str]]:
        """Return the first ``fields`` texts of some entries: (fields, entries)."""
        bounds = [np.where(places > 0, self._ends[np.maximum(places - 1, 0)], 0)]
        for lengths in self._lengths[:fields]:
            bounds.append(bounds[-1] + lengths[places])
        if fields > len(self._lengths):
            bounds.append(self._ends[places])
        spread = len(places) > 0 and places[-1] - places[0] >= len(places)
        self._note(int((bounds[-1] - bounds[0]).sum()) + _TOUCHED * (len(places) if spread else 1))
        cuts = [bound.tolist() for bound in bounds]
        text = memoryview(self._text)
        return [
            [str(text[start:end], "utf-8") for start, end in zip(starts, ends, strict=True)]
            for starts, ends in pairwise(cuts)
        ]

    def entry(self, place: int) -> list[str]:
        """Return the texts of one entry."""
        whole = self._text[self._ends.item(place - 1) if place else 0 : self._ends.item(place)].tobytes()
        self._note(len(whole) + _TOUCHED)
        cut = 0
        texts = []
        for lengths in self._lengths:
            end = cut + lengths.item(place)
            texts.append(whole[cut:end].decode())
            cut = end
        texts.append(whole[cut:].decode())
        return texts

    def validity(self, place: int) -> tuple[float, float]:
        """Return ``start`` and ``until`` of one entry."""
        if not len(self._timed):
            return 0.0, 1.0
        near = int(np.searchsorted(self._timed, place))
        if near == len(self._timed) or self._timed[near] != place:
            return 0.0, 1.0
        return float(self._start[near]), float(self._until[near])

    def validities(self, places: IntArray) -> list[tuple[int, float, float]]:
        """Return (index into ``places``, start, until) of those entries that hold for a part of the run only."""
        if not len(self._timed):
            return []
        near = np.minimum(np.searchsorted(self._timed, places), len(self._timed) - 1)
        hits = np.flatnonzero(self._timed[near] == places)
        rows = near[hits]
        return list(zip(hits.tolist(), self._start[rows].tolist(), self._until[rows].tolist(), strict=True))

    def all_validities(self) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
        """Yield ``start`` and ``until`` of all entries in pieces, (piece,) each; nothing if all always hold."""
        for first in range(0, len(self) if len(self._timed) else 0, _ENTRIES):
            last = min(first + _ENTRIES, len(self))
            start, until = np.zeros(last - first), np.ones(last - first)
            some = slice(*np.searchsorted(self._timed, [first, last]))
            start[self._timed[some] - first] = self._start[some]
            until[self._timed[some] - first] = self._until[some]
            yield start, until

    def _note(self, mapped: int) -> None:
        """Count bytes that reading maps, and release the mapped pages when they are too many."""
        self._mapped += mapped
        if self._mapped > _MAPPED:
            release(self._text, self._ends, *self._lengths)
            self._mapped = mapped
