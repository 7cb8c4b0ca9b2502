"""Finds all names at once where they occur as words, by the Aho-Corasick algorithm (in Rust).

Every occurrence counts, within a longer name too: "New York City" contains "New York". Case matters, unless names are
compared without it: a second automaton then reads the text in lower case. A name must not be part of a word: if it
begins with a letter or digit, none may precede it, and likewise at its end. This does not apply to scripts without
spaces between words (Chinese, Japanese, Thai and others).
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

from kis_plugin.counting.name_rules import lowered
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
        patterns: The names, not empty, with white space as single spaces; in lower case where they are folded.
        folded: (patterns,) which are compared without case; None for none. If it is given, no name stands beside a
            letter, digit or underscore, whatever it begins and ends with.

    Raises:
        KISError: The library for the search is not installed.
    """

    def __init__(self, patterns: Sequence[str], folded: npt.NDArray[np.bool_] | None = None) -> None:
        self._patterns, self._folded = patterns, folded
        none = np.zeros(len(patterns), dtype=np.bool_)
        self._parts = []
        for kind, chosen in enumerate((~none, none) if folded is None else (~folded, folded)):
            places = np.flatnonzero(chosen)
            if len(places):
                self._parts.append((bool(kind), places, _automaton([patterns[place] for place in places.tolist()])))
        _word_table()  # computed before processes are forked, so that they share it
        self.longest = max(map(len, patterns), default=0)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the names, for pickle."""
        return (Matcher, (self._patterns, self._folded))

    def find(self, text: str) -> tuple[IntArray, IntArray, IntArray]:
        """Return pattern, start and end of every occurrence: (found,) each. ``text`` has no lone surrogates."""
        found = [np.zeros((0, 3), dtype=np.int64)]
        for folded, places, automaton in self._parts:
            raw = automaton.find_matches_as_indexes(lowered(text) if folded else text, overlapping=True)
            some = np.fromiter(chain.from_iterable(raw), dtype=np.int64, count=3 * len(raw)).reshape(-1, 3)
            some[:, 0] = places[some[:, 0]]
            found.append(some)
        pattern, start, end = np.concatenate(found).T
        # A position lies inside a word if there are letters on both sides of it.
        letter = np.zeros(len(text) + 2, dtype=np.bool_)
        letter[1:-1] = _word_table()[np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)]
        before, after = letter[start], letter[end + 1]
        if self._folded is None:
            before, after = before & letter[start + 1], after & letter[end]
        whole = ~(before | after)
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
