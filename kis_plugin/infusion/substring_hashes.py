"""Hashes of every substring of rows of tokens, so that a text is found in a batch without comparing it everywhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["HashFilter", "SubstringHashes"]

Hashes = npt.NDArray[np.uint64]

# Arithmetic is modulo 2**64, where every odd number has an inverse.
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_SPREAD = np.uint64(0xD6E8FEB86659FD93)
_LEAST_BITS = 12
_SLOTS_PER_KEY = 32


class SubstringHashes:
    """Polynomial hashes of the substrings of some rows.

    With the prefix sums ``C[n] = sum((t[j] + 1) * B**j for j < n)``, the hash of the tokens from ``first`` to ``stop``
    is ``(C[stop] - C[first]) / B**first``: it depends on the tokens alone, not on where they stand (Karp and Rabin
    1987). Any substring costs the same, however long it is. Equal hashes are a strong hint and no proof.

    Args:
        ids: (rows, T) token ids.
    """

    _powers = np.ones(1, dtype=np.uint64)  # B**j, as many as the longest row needed so far
    _inverses = np.ones(1, dtype=np.uint64)

    def __init__(self, ids: npt.NDArray[np.integer]) -> None:
        rows, tokens = ids.shape
        self._grow(tokens)
        self._sums = np.zeros((rows, tokens + 1), dtype=np.uint64)  # C
        terms = (ids.astype(np.uint64) + np.uint64(1)) * self._powers[:tokens]
        np.cumsum(terms, axis=1, out=self._sums[:, 1:])

    def all(self, length: int) -> Hashes:
        """Return the hash of every substring of ``length`` tokens: (rows, T - length + 1)."""
        sums = self._sums
        places = sums.shape[1] - length
        # Unsigned numbers wrap around, which is arithmetic modulo 2**64: division by B**first is a product with its
        # inverse.
        hashes: Hashes = (sums[:, length:] - sums[:, :places]) * self._inverses[:places]
        return hashes

    def at_start(self, length: int) -> Hashes:
        """Return the hash of the first ``length`` tokens of each row: (rows, 1)."""
        return self._sums[:, length : length + 1]

    def of(self, row: int, first: int, lengths: npt.NDArray[np.int64]) -> Hashes:
        """Return the hashes of the substrings of one row that begin at ``first``: (lengths,)."""
        sums = self._sums[row]
        hashes: Hashes = (sums[first + lengths] - sums[first]) * self._inverses[first]
        return hashes

    @classmethod
    def _grow(cls, tokens: int) -> None:
        if len(cls._powers) <= tokens:
            for name, base in (("_powers", _BASE), ("_inverses", _INVERSE)):
                factors = np.full(2 * tokens, base, dtype=np.uint64)
                factors[0] = 1
                setattr(cls, name, np.multiply.accumulate(factors))


class HashFilter:
    """A set of hashes that is looked up for a whole array at once; now and then it holds a hash that was not added.

    It is a table of counters, so that hashes can be removed (a counting Bloom filter with one hash function). It grows
    with the number of hashes, so about one look-up in 32 is a false hit at most, and none is missed.
    """

    def __init__(self) -> None:
        self._bits = _LEAST_BITS
        self._keys: set[int] = set()
        self._counts = np.zeros(1 << self._bits, dtype=np.uint16)

    def add(self, key: int) -> None:
        """Add a hash that is not in the set."""
        self._keys.add(key)
        if len(self._keys) * _SLOTS_PER_KEY > len(self._counts):
            self._bits += 2
            self._counts = np.zeros(1 << self._bits, dtype=np.uint16)
            slots = self._slots(np.fromiter(self._keys, dtype=np.uint64, count=len(self._keys)))
            np.add.at(self._counts, slots, np.uint16(1))
        else:
            self._counts[self._slots(np.array([key], dtype=np.uint64))] += 1

    def remove(self, key: int) -> None:
        """Remove a hash that is in the set."""
        self._keys.remove(key)
        self._counts[self._slots(np.array([key], dtype=np.uint64))] -= 1

    def may_hold(self, keys: Hashes) -> npt.NDArray[np.bool_]:
        """Return whether each of some hashes may be in the set: the shape of ``keys``."""
        found: npt.NDArray[np.bool_] = self._counts[self._slots(keys)] > 0
        return found

    def _slots(self, keys: Hashes) -> npt.NDArray[np.int64]:
        # The high bits of a product depend on all bits of its factors; the low bits of a polynomial hash do not.
        return (keys * _SPREAD >> np.uint64(64 - self._bits)).view(np.int64)
