"""Finds all names at once where they occur as words, by the Aho-Corasick algorithm (in Rust).

Every occurrence counts, within a longer name too: "New York City" contains "New York". Case matters. A name must not be
part of a word: if it begins with a letter or digit, none may precede it, and likewise at its end. This does not apply
to scripts without spaces between words (Chinese, Japanese, Thai and others).
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray

__all__ = ["Matcher"]

_UNSPACED = (
    (0x0E00, 0x0F00), (0x1000, 0x10A0), (0x1780, 0x1800), (0x3040, 0x3100), (0x31F0, 0x3200), (0x3400, 0xA000),
    (0xF900, 0xFB00), (0x20000, 0x40000),
)  # fmt: skip


class Matcher:
    """Finds names in text. It pickles as the names alone; forked processes share the automaton.

    Args:
        patterns: The names, not empty, with white space as single spaces.

    Raises:
        KISError: The library for the search is not installed.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = patterns
        self._automaton = _automaton(patterns)
        _word_table()  # computed before processes are forked, so that they share it
        self.longest = max(map(len, patterns), default=0)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the names, for pickle."""
        return (Matcher, (self._patterns,))

    def find(self, text: str) -> tuple[IntArray, IntArray, IntArray]:
        """Return pattern, start and end of every occurrence: (found,) each. ``text`` has no lone surrogates."""
        raw = self._automaton.find_matches_as_indexes(text, overlapping=True)
        found = np.fromiter(chain.from_iterable(raw), dtype=np.int64, count=3 * len(raw)).reshape(-1, 3)
        pattern, start, end = found.T
        # A position lies inside a word if there are letters on both sides of it.
        letter = np.zeros(len(text) + 2, dtype=np.bool_)
        letter[1:-1] = _word_table()[np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)]
        whole = ~((letter[start] & letter[start + 1]) | (letter[end] & letter[end + 1]))
        return pattern[whole], start[whole], end[whole]


def _automaton(patterns: Sequence[str]) -> Any:
    try:
        from ahocorasick_rs import AhoCorasick
    except ImportError as error:
        hint = "Install it with pip install 'kis-plugin[count]'."
        raise KISError(Problem("kis count", "no package ahocorasick-rs", "one to search with", hint)) from error
    return AhoCorasick(list(patterns), store_patterns=False)


@cache
def _word_table() -> npt.NDArray[np.bool_]:
    """Return for each code point whether it belongs to a word: letters, digits, marks over them, the underscore."""
    table = np.fromiter(
        (
            letter.isalnum() or letter == "_" or unicodedata.category(letter)[0] == "M"
            for letter in map(chr, range(sys.maxunicode + 1))
        ),
        dtype=np.bool_,
        count=sys.maxunicode + 1,
    )
    for first, stop in _UNSPACED:
        table[first:stop] = False
    return table
