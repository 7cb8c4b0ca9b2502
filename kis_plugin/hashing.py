"""Seeded choices that never change: integer hashing instead of a generator whose stream a release may alter.

A run that resumes after numpy was upgraded must still find every fact where the first half of the run left it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["IntArray", "hashes", "mix", "mixed_in", "permutation"]

IntArray = npt.NDArray[np.int64]

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def mix(*values: int) -> int:
    """Hash integers to 64 bits: SplitMix64 (Steele, Lea, Flood 2014) over each value in turn."""
    state = 0
    for value in values:
        state = mixed_in(state, value)
    return state


def mixed_in(state: int, value: int) -> int:
    """Return ``mix(*values, value)`` where ``state`` is ``mix(*values)``: one step where the rest is known."""
    state = (state + _GOLDEN + (value & _MASK)) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


def hashes(n: int, *key: int) -> npt.NDArray[np.uint64]:
    """Return ``[mix(mix(*key), i) for i in range(n)]`` but quickly: (n,)."""
    with np.errstate(over="ignore"):
        start = (mix(mix(*key)) + _GOLDEN) & _MASK  # the state after the first value
        state = np.arange(n, dtype=np.uint64)
        state += np.uint64(start)  # in place all the way: there may be ten million
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            state ^= state >> np.uint64(shift)
            state *= np.uint64(factor)
        state ^= state >> np.uint64(31)
        return state


def permutation(n: int, *key: int) -> IntArray:
    """Return a permutation of ``range(n)`` that depends on ``key`` alone: its numbers in the order of their hashes."""
    bits = np.uint64(max(n - 1, 1).bit_length())
    # Each hash carries its number in its lowest bits: sorting values is quicker than sorting places, and has no ties.
    keys = hashes(n, *key)
    keys >>= bits
    keys <<= bits
    keys |= np.arange(n, dtype=np.uint64)
    keys.sort()
    keys &= (np.uint64(1) << bits) - np.uint64(1)
    return keys.view(np.int64)
