"""Finds whole and torn texts in rows of tokens, by a hash of their first tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kis_plugin.infusion.substring_hashes import HashFilter, SubstringHashes

__all__ = ["Found", "TextIndex"]

_KEY = 8  # tokens by which texts are looked for; shorter texts make it shorter
Tokens = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Found:
    """What stands in some rows.

    Attributes:
        whole: Numbers of the texts that stand there whole, each as often as it does.
        cut: How many rows end within a text.
        resumed: How many rows begin within a text.
    """

    whole: Sequence[int]
    cut: int
    resumed: int


class TextIndex:
    """Looks for some texts at once. Where several begin alike, the longest that fits is meant.

    Args:
        texts: (tokens,) each; none is empty. Of equal texts the first is counted.
    """

    def __init__(self, texts: Sequence[Tokens]) -> None:
        self._texts = [np.asarray(text, dtype=np.int64) for text in texts]
        self._key = min(_KEY, min((len(text) for text in texts), default=_KEY))
        self._starts, self._start_filter = self._by_key(self._texts)
        # Read from their ends, torn texts are found by the same search.
        self._ends, self._end_filter = self._by_key([text[::-1] for text in self._texts])

    def _by_key(self, texts: Sequence[Tokens]) -> tuple[dict[int, list[int]], HashFilter]:
        """Return the numbers of texts by the hash of their first tokens, the longest first."""
        by_key: dict[int, list[int]] = {}
        seen: set[bytes] = set()
        for number, text in enumerate(texts):
            if (content := text.tobytes()) not in seen:
                seen.add(content)
                key = int(SubstringHashes(text[None, : self._key]).at_start(self._key)[0, 0])
                by_key.setdefault(key, []).append(number)
        chosen = HashFilter()
        for key, numbers in by_key.items():
            numbers.sort(key=lambda number: -len(texts[number]))
            chosen.add(key)
        return by_key, chosen

    def find(self, rows: Tokens) -> Found:
        """Return what stands in rows, (n, T)."""
        rows = np.asarray(rows, dtype=np.int64)
        if rows.shape[1] < self._key or not self._texts:
            return Found((), 0, 0)
        whole: list[int] = []
        cut, last, after = 0, -1, 0
        for row, place, key in _hits(rows, self._key, self._start_filter):
            if row != last:
                last, after = row, 0
            if place < after:  # a text is not looked for inside another
                continue
            number, length = self._at(rows[row], place, self._starts.get(key, ()))
            if number is not None:
                whole.append(number)
            elif length:
                cut += 1
            after = place + length if length else after
        return Found(whole, cut, self._resumed(rows))

    def _at(self, row: Tokens, place: int, numbers: Sequence[int]) -> tuple[int | None, int]:
        """Return the whole text at a place and its length; None and the rest of the row for one that it cuts."""
        room = len(row) - place
        for number in numbers:
            text = self._texts[number]
            if len(text) <= room and np.array_equal(text, row[place : place + len(text)]):
                return number, len(text)
        rest = row[place:]
        longer = (self._texts[number] for number in numbers if len(self._texts[number]) > room)
        return None, room if any(np.array_equal(text[:room], rest) for text in longer) else 0

    def _resumed(self, rows: Tokens) -> int:
        """Return how many rows begin within a text: read backwards, they end in one."""
        found: set[int] = set()
        for row, place, key in _hits(rows[:, ::-1], self._key, self._end_filter):
            left = rows[row, ::-1][place:]
            for number in self._ends.get(key, ()):
                text = self._texts[number][::-1]
                if len(text) > len(left) and np.array_equal(text[: len(left)], left):
                    found.add(row)
        return len(found)


def _hits(rows: Tokens, key: int, chosen: HashFilter) -> Iterator[tuple[int, int, int]]:
    """Yield row, place and hash wherever a text may begin, in order."""
    keys = SubstringHashes(np.ascontiguousarray(rows)).all(key)  # (n, T - key + 1)
    for row, place in np.argwhere(chosen.may_hold(keys)).tolist():
        yield row, place, int(keys[row, place])
