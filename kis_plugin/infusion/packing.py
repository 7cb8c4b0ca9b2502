"""Whole texts into bundles, a bundle the infused part of one row: best fit, or next fit where order matters."""

from __future__ import annotations

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
    """Texts grouped into bundles.

    Attributes:
        texts: Text numbers, bundle after bundle, (texts,).
        offsets: (bundles + 1,); bundle b is ``texts[offsets[b]:offsets[b + 1]]``.
    """

    texts: Whole
    offsets: Whole

    def __len__(self) -> int:
        """Return the number of bundles."""
        return len(self.offsets) - 1

    def bundle(self, index: int) -> Whole:
        """Return the texts of one bundle."""
        return self.texts[self.offsets[index] : self.offsets[index + 1]]


def best_fit(texts: Whole, lengths: Whole, sequence_length: int) -> Packing:
    """Put texts into bundles of at most ``sequence_length`` tokens, each into the fullest bundle that still holds it.

    Bundles are kept by the room they have left and a bit mask says which rooms occur, so a text costs the same however
    many bundles there are.

    Args:
        texts: The texts to pack, each once, in the order in which they are taken.
        lengths: Tokens of each, (texts,), none above ``sequence_length``.
        sequence_length: Tokens a row.
    """
    open_by_room: list[list[int]] = [[] for _ in range(sequence_length + 1)]
    rooms = 0  # bit r: some bundle has r tokens left
    bundles = 0
    place = np.empty(len(texts), dtype=np.int32)
    for at, length in enumerate(_one_by_one(lengths)):
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            bundle = open_by_room[room].pop()
            if not open_by_room[room]:
                rooms ^= 1 << room
        else:
            room, bundle = sequence_length, bundles
            bundles += 1
        place[at] = bundle
        left = room - length
        if left:
            if not open_by_room[left]:
                rooms |= 1 << left
            open_by_room[left].append(bundle)
    return _grouped(texts, place, bundles)


def next_fit(texts: Whole, lengths: Whole, sequence_length: int, most: int | None = None) -> Packing:
    """Put texts into bundles in their order: a bundle is closed when the next text does not fit.

    Args:
        texts: The texts to pack, in the order that bundles keep.
        lengths: Tokens of each, (texts,), none above ``sequence_length``.
        sequence_length: Tokens a bundle.
        most: Texts a bundle, at most.
    """
    ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])
    offsets = [0]
    while offsets[-1] < len(texts):
        first = offsets[-1]
        stop = int(np.searchsorted(ends, ends[first] + sequence_length, side="right")) - 1
        offsets.append(stop if most is None else min(stop, first + most))
    return Packing(texts, np.array(offsets, dtype=np.int64))


def reshuffled(packing: Packing, lengths: Whole, *key: int) -> Packing:
    """Return a packing with the same bundles in size, in which texts of one length have changed places.

    So a text meets others in its row, and nothing is packed anew.

    Args:
        packing: Any packing.
        lengths: Tokens of each of ``packing.texts``, (texts,).
        key: Decides who goes where.
    """
    small = lengths.astype(np.min_scalar_type(int(lengths.max(initial=0))))  # sorted by counting, up to 16 bits
    places = np.argsort(small, kind="stable")
    texts = np.empty_like(packing.texts)
    start = 0
    for length, count in enumerate(np.bincount(small).tolist()):
        alike = places[start : start + count]
        texts[alike] = packing.texts[alike[permutation(count, *key, length)]]
        start += count
    return Packing(texts, packing.offsets)


def _one_by_one(lengths: Whole) -> Iterator[int]:
    """Yield plain integers without making all of them at once."""
    for start in range(0, len(lengths), _CHUNK):
        yield from lengths[start : start + _CHUNK].tolist()


def _grouped(texts: Whole, place: npt.NDArray[np.int32], bundles: int) -> Packing:
    order = np.argsort(place, kind="stable")
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.bincount(place, minlength=bundles))])
    return Packing(texts[order], offsets)
