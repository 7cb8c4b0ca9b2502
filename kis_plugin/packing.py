"""Whole items into rows: online best fit in a seeded order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kis_plugin.seeded import IntArray

__all__ = ["Packing", "pack"]


@dataclass(frozen=True)
class Packing:
    """Items grouped into bundles, a bundle the infused part of one row.

    Attributes:
        items: Item indices, bundle after bundle, (items,).
        offsets: (bundles + 1,); bundle b is ``items[offsets[b]:offsets[b + 1]]``.
    """

    items: IntArray
    offsets: IntArray

    def __len__(self) -> int:
        """Return the number of bundles."""
        return len(self.offsets) - 1

    def bundle(self, index: int) -> IntArray:
        """Return the items of one bundle."""
        return self.items[self.offsets[index] : self.offsets[index + 1]]


def pack(order: IntArray, lengths: IntArray, block: int) -> Packing:
    """Put items, taken in ``order``, into bundles of at most ``block`` tokens.

    Each goes to the fullest bundle that still holds it. Bundles are kept by the room they have left and a bit mask
    says which rooms occur, so an item costs the same however many bundles there are.

    Args:
        order: The items to pack, each once.
        lengths: Tokens of every item, none above ``block``.
        block: Tokens a row.
    """
    open_by_room: list[list[int]] = [[] for _ in range(block + 1)]
    rooms = 0  # bit r: some bundle has r tokens left
    bundles = 0
    place = np.empty(len(order), dtype=np.int64)
    for at, length in enumerate(lengths[order].tolist()):
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            bundle = open_by_room[room].pop()
            if not open_by_room[room]:
                rooms ^= 1 << room
        else:
            room, bundle = block, bundles
            bundles += 1
        place[at] = bundle
        left = room - length
        if not open_by_room[left]:
            rooms |= 1 << left
        open_by_room[left].append(bundle)
    by_bundle = np.argsort(place, kind="stable")
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.bincount(place, minlength=bundles))])
    return Packing(order[by_bundle], offsets.astype(np.int64))
