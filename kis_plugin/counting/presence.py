"""Counts in how many windows each entity and each pair is found, over a stretch of text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kis_plugin.counting.matcher import Matcher
from kis_plugin.counting.names import Names, expanded
from kis_plugin.counting.texts import Part
from kis_plugin.counting.windows import begins, flat, one_line
from kis_plugin.hashing import IntArray

__all__ = ["Found", "Presence", "Size"]

_BATCH = 1 << 19  # characters that are searched together
_SAMPLE = 1_000  # characters of one sample of the text
_SAMPLES = 16  # of one stretch


@dataclass(frozen=True)
class Size:
    """How much was looked at.

    Attributes:
        documents: Those with anything but white space.
        windows: Documents, paragraphs or sentences.
        bytes: Of their text, as UTF-8.
    """

    documents: int = 0
    windows: int = 0
    bytes: int = 0

    def __add__(self, other: Size) -> Size:
        """Return the sum of two."""
        return Size(self.documents + other.documents, self.windows + other.windows, self.bytes + other.bytes)


@dataclass(frozen=True)
class Found:
    """What a stretch of text holds, without what it does not.

    Attributes:
        entities: Numbers of the entities found.
        in_windows: (found,) windows that hold each.
        pairs: Numbers of the pairs of which both entities were found in one window.
        together: (found,) windows that hold each pair.
        size: How much text it was.
        sample: Short pieces of the text.
    """

    entities: IntArray
    in_windows: IntArray
    pairs: IntArray
    together: IntArray
    size: Size
    sample: tuple[str, ...]


class Presence:
    """Takes the parts of documents, in order, and counts.

    A window that holds a name several times counts once. Short documents are searched together; a document that comes
    in parts is one window still if documents are the windows, and no name is lost where parts meet.

    Args:
        names: What is looked for.
        matcher: Of the patterns of ``names``.
        window: One of ``kis_plugin.counting.windows.WINDOWS``.
        batch: Characters that are searched together.
    """

    def __init__(self, names: Names, matcher: Matcher, window: str, batch: int = _BATCH) -> None:
        self._names, self._matcher, self._window, self._batch = names, matcher, window, batch
        self._entities = np.zeros(names.entities, dtype=np.int64)
        self._pairs = np.zeros(names.pairs, dtype=np.int64)
        self._size = Size()
        self._sample: list[str] = []
        self._lines: list[str] = []
        self._waiting = 0  # characters of the lines
        self._told = False  # the document has text
        # Of a document that goes on and is one window:
        self._open: IntArray | None = None  # the entities found so far
        self._tail = ""  # the end of its text, in which a name may have begun
        self._context = 0  # characters of the tail that are there to be seen, and begin no name

    def add(self, part: Part) -> None:
        """Count a part; it ends every window that is no document."""
        text = part.text
        if len(self._sample) < _SAMPLES and text.strip():
            middle = max(len(text) - _SAMPLE, 0) // 2
            self._sample.append(text[middle : middle + _SAMPLE])
        self._told = self._told or bool(text.strip())
        self._size += Size(documents=int(part.ends and self._told), bytes=len(text.encode()))
        goes_on = self._window == "document" and not part.ends
        lines = flat(text, self._window) if self._open is None and not goes_on else self._continued(text)
        self._lines += lines
        self._waiting += sum(map(len, lines))
        if lines and (goes_on or self._open is not None or self._waiting >= self._batch):
            self._search(goes_on)
        if part.ends:
            self._told = False

    def found(self) -> Found:
        """Return what was counted."""
        self._search()
        entities, pairs = np.flatnonzero(self._entities), np.flatnonzero(self._pairs)
        return Found(entities, self._entities[entities], pairs, self._pairs[pairs], self._size, tuple(self._sample))

    def _continued(self, text: str) -> list[str]:
        """Return a part behind the tail of the one before, white space between them kept, as one line."""
        inner = one_line(text)
        before = " " if text[:1].isspace() and self._tail and not self._tail.endswith(" ") else ""
        after = " " if inner and text[-1].isspace() else ""
        line = f"{self._tail}{before}{inner}{after}"
        return [line] if line else []

    def _search(self, goes_on: bool = False) -> None:
        """Count the lines that wait; the last of them goes on if ``goes_on``."""
        text, self._lines, self._waiting = "\n".join(self._lines), [], 0
        if not text:
            return
        names = self._names
        pattern, start, end = self._matcher.find(text)
        # A name at the very end may be the beginning of a word: the next part will tell.
        known = (start >= self._context) & (end < len(text) + (not goes_on))
        firsts = begins(text, self._window, start, end)
        window = np.searchsorted(firsts, start[known], side="right")
        which, place = expanded(names.entity_bounds, pattern[known])
        keys = np.unique(window[which] * names.entities + names.entity[place])  # an entity in a window
        if self._open is not None:
            keys = np.union1d(self._open, keys)
        if goes_on:
            last = len(firsts) * names.entities
            self._open, keys = keys[keys >= last] - last, keys[keys < last]
            line = text.rfind("\n") + 1
            begin = max(line, len(text) - self._matcher.longest - 1)
            # A tail that nothing was added to begins with its context still.
            self._tail, self._context = text[begin:], int(begin > line or self._context > begin)
        else:
            self._open, self._tail, self._context = None, "", 0
        self._size += Size(windows=len(firsts) + (not goes_on))
        self._count(keys)

    def _count(self, keys: IntArray) -> None:
        """Count entities in windows, and the pairs that stand in one window together."""
        names = self._names
        window, entity = np.divmod(keys, max(names.entities, 1))
        numbers, times = np.unique(entity, return_counts=True)
        self._entities[numbers] += times
        which, place = expanded(names.pair_bounds, entity)
        wanted = window[which] * names.entities + names.other[place]
        at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        there = keys[at] == wanted if len(keys) else np.zeros(0, dtype=np.bool_)
        numbers, times = np.unique(names.pair[place[there]], return_counts=True)
        self._pairs[numbers] += times
