"""Packs whole texts into bins, where one bin is the infused part of one row.

``best_fit`` keeps rows full; ``next_fit`` keeps the order of the texts.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import permutation

__all__ = ["Packing", "best_fit", "next_fit", "reshuffled"]

Whole = npt.NDArray[np.integer[Any]]

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Packing:
    """Texts grouped into bins.

    Attributes:
        texts: Text numbers, bin after bin, (texts,).
        offsets: (bins + 1,); bin b holds ``texts[offsets[b]:offsets[b + 1]]``.
    """

    texts: Whole
    offsets: Whole

    def __len__(self) -> int:
        """Return the number of bins."""
        return len(self.offsets) - 1

    def bin(self, index: int) -> Whole:
        """Return the text numbers of one bin."""
        return self.texts[self.offsets[index] : self.offsets[index + 1]]


def best_fit(texts: Whole, lengths: Whole, sequence_length: int) -> Packing:
    """Pack texts into bins of at most ``sequence_length`` tokens: each goes into the fullest bin that still holds it.

    This is best fit of the bin packing problem, on-line: texts are taken in the order given. A text costs O(log R)
    beside a move in a list of R numbers, where R is how many different rooms are left in open bins.

    Args:
        texts: The texts to pack, each once, (texts,).
        lengths: Tokens of each, (texts,), none above ``sequence_length``.
        sequence_length: Tokens a bin.
    """
    # Bins with the same room left are interchangeable: there is one stack of open bins per room, and a sorted list of
    # the rooms that some bin has. There are no more of them than bins, and few bins where rows are long.
    open_by_room: dict[int, list[int]] = {}
    rooms: list[int] = []
    bins = 0
    bin_of = np.empty(len(texts), dtype=np.int32)
    for at, length in enumerate(_one_by_one(lengths)):
        place = bisect_left(rooms, length)
        if place < len(rooms):
            room = rooms[place]
            chosen = open_by_room[room].pop()
            if not open_by_room[room]:
                del rooms[place]
        else:
            room, chosen = sequence_length, bins
            bins += 1
        bin_of[at] = chosen
        left = room - length
        if left:  # a full bin is never looked at again
            alike = open_by_room.setdefault(left, [])
            if not alike:
                insort(rooms, left)
            alike.append(chosen)
    return _grouped(texts, bin_of, bins)


def next_fit(texts: Whole, lengths: Whole, sequence_length: int, most: int | None = None) -> Packing:
    """Pack texts into bins in their order: a bin is closed when the next text does not fit.

    Args:
        texts: The texts to pack, in the order that bins keep, (texts,).
        lengths: Tokens of each, (texts,), none above ``sequence_length``.
        sequence_length: Tokens a bin.
        most: Texts a bin, at most; None for no limit.
    """
    ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])
    offsets = [0]
    while offsets[-1] < len(texts):
        first = offsets[-1]
        # ends[stop] is the last prefix sum that is at most a whole bin beyond that of ``first``.
        stop = int(np.searchsorted(ends, ends[first] + sequence_length, side="right")) - 1
        offsets.append(stop if most is None else min(stop, first + most))
    return Packing(texts, np.array(offsets, dtype=np.int64))


def reshuffled(packing: Packing, lengths: Whole, *key: int) -> Packing:
    """Return a packing with the same bin sizes in which texts of the same length have changed places.

    A text then shares its row with others, at a cost far below that of packing anew: exchanging texts of one length
    leaves every bin exactly as full as it was.

    Args:
        packing: Any packing.
        lengths: Tokens of each of ``packing.texts``, (texts,).
        key: Seeds the exchange.
    """
    small = lengths.astype(np.min_scalar_type(int(lengths.max(initial=0))))  # numpy sorts up to 16 bits by counting
    by_length = np.argsort(small, kind="stable")
    texts = np.empty_like(packing.texts)
    start = 0
    for length, count in enumerate(np.bincount(small).tolist()):
        alike = by_length[start : start + count]
        texts[alike] = packing.texts[alike[permutation(count, *key, length)]]
        start += count
    return Packing(texts, packing.offsets)


def _one_by_one(lengths: Whole) -> Iterator[int]:
    """Yield plain integers without making all of them at once."""
    for start in range(0, len(lengths), _CHUNK):
        yield from lengths[start : start + _CHUNK].tolist()


def _grouped(texts: Whole, bin_of: npt.NDArray[np.int32], bins: int) -> Packing:
    """Return the texts sorted by bin; within a bin they keep their order."""
    order = np.argsort(bin_of, kind="stable")
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.bincount(bin_of, minlength=bins))])
    return Packing(texts[order], offsets)
