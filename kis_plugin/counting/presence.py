"""Counts the windows that hold each entity and each pair, over a stretch of text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kis_plugin.counting.matcher import Matcher
from kis_plugin.counting.names import Names, expanded
from kis_plugin.counting.texts import Part
from kis_plugin.counting.windows import begins, flat, one_line
from kis_plugin.hashing import IntArray

__all__ = ["Found", "Presence", "Size"]

_BATCH = 1 << 19  # characters searched together
_SAMPLE = 1_000  # characters of a sample
_SAMPLES = 16  # samples of a stretch


@dataclass(frozen=True)
class Size:
    """The amount of text.

    Attributes:
        documents: Documents with any text but white space.
        windows: Documents, paragraphs or sentences.
        bytes: Bytes of the text, as UTF-8.
    """

    documents: int = 0
    windows: int = 0
    bytes: int = 0

    def __add__(self, other: Size) -> Size:
        """Return the sum."""
        return Size(self.documents + other.documents, self.windows + other.windows, self.bytes + other.bytes)


@dataclass(frozen=True)
class Found:
    """The non-zero counts of a stretch of text.

    Attributes:
        entities: Numbers of the entities found.
        in_windows: (found,) windows that hold each.
        pairs: Numbers of the pairs whose entities occur together in a window.
        together: (found,) windows that hold each pair.
        size: The amount of text.
        sample: Short extracts.
    """

    entities: IntArray
    in_windows: IntArray
    pairs: IntArray
    together: IntArray
    size: Size
    sample: tuple[str, ...]


class Presence:
    """Counts the parts of documents, which are added in order.

    A window that holds a name several times counts once. Short documents are searched together. A document in several
    parts is still one window if documents are the windows, and no name is lost where parts meet.

    Args:
        names: The names to count.
        matcher: A matcher for the patterns of ``names``.
        window: One of ``kis_plugin.counting.windows.WINDOWS``.
        batch: Characters searched together.
    """

    def __init__(self, names: Names, matcher: Matcher, window: str, batch: int = _BATCH) -> None:
        self._names, self._matcher, self._window, self._batch = names, matcher, window, batch
        self._entities = np.zeros(names.entities, dtype=np.int64)
        self._pairs = np.zeros(names.pairs, dtype=np.int64)
        self._size = Size()
        self._sample: list[str] = []
        self._lines: list[str] = []
        self._waiting = 0  # characters of the lines
        self._has_text = False  # the present document
        # State of a document that continues in the next part, where documents are the windows:
        self._open: IntArray | None = None  # the entities found so far
        self._tail = ""  # the end of its text, where a name may have begun
        self._context = 0  # characters of the tail that only show what precedes a name

    def add(self, part: Part) -> None:
        """Count a part. Its end is the end of every window but a document."""
        text = part.text
        if len(self._sample) < _SAMPLES and text.strip():
            middle = max(len(text) - _SAMPLE, 0) // 2
            self._sample.append(text[middle : middle + _SAMPLE])
        self._has_text = self._has_text or bool(text.strip())
        self._size += Size(documents=int(part.ends and self._has_text), bytes=len(text.encode()))
        goes_on = self._window == "document" and not part.ends
        lines = flat(text, self._window) if self._open is None and not goes_on else self._continued(text)
        self._lines += lines
        self._waiting += sum(map(len, lines))
        if lines and (goes_on or self._open is not None or self._waiting >= self._batch):
            self._search(goes_on)
        if part.ends:
            self._has_text = False

    def found(self) -> Found:
        """Return the counts."""
        self._search()
        entities, pairs = np.flatnonzero(self._entities), np.flatnonzero(self._pairs)
        return Found(entities, self._entities[entities], pairs, self._pairs[pairs], self._size, tuple(self._sample))

    def _continued(self, text: str) -> list[str]:
        """Return the tail of the previous part and this part as one line, with the white space between them."""
        inner = one_line(text)
        before = " " if text[:1].isspace() and self._tail and not self._tail.endswith(" ") else ""
        after = " " if inner and text[-1].isspace() else ""
        line = f"{self._tail}{before}{inner}{after}"
        return [line] if line else []

    def _search(self, goes_on: bool = False) -> None:
        """Count the waiting lines; the last one continues in the next part if ``goes_on``."""
        text, self._lines, self._waiting = "\n".join(self._lines), [], 0
        if not text:
            return
        names = self._names
        pattern, start, end = self._matcher.find(text)
        # A match at the very end may be the beginning of a longer word: only the next part shows.
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
            # If nothing was added to the tail, it still begins with its context.
            self._tail, self._context = text[begin:], int(begin > line or self._context > begin)
        else:
            self._open, self._tail, self._context = None, "", 0
        self._size += Size(windows=len(firsts) + (not goes_on))
        self._count(keys)

    def _count(self, keys: IntArray) -> None:
        """Count entities in windows, and pairs whose entities are in one window."""
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
