"""The file that ``kis count`` writes and ``retention.corpus_counts`` reads: how often the base text states each fact.

The format is JSON lines. The first line describes the count; each other line counts one fact, in the order of the
knowledge::

    {"type": "counts", "schema": 1, "window": "sentence", "texts": ["base/"], "documents": 58, "bytes": 24186963, ...}
    {"id": "P19:1", "subject": 12, "object": 340, "both": 3, "key": "5d41402abc4b2a76"}

The numbers are windows (sentences, paragraphs or documents) that hold the subject, the object, and both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.facts import Fact
from kis_plugin.knowledge.per_entry_file import EntryFile, entry_key

__all__ = ["COUNTS", "FactCounts", "read_counts", "write_counts"]

COUNTS = EntryFile(
    one="count",
    schema=1,
    of="fact",
    make="kis count kis.yaml TEXT -o FILE makes them.",
    command="kis count",
)


@dataclass(frozen=True)
class FactCounts:
    """The content of a file.

    Attributes:
        path: The file.
        about: Its first line.
        keys: (facts,) ``entry_key`` of each fact, sorted.
        both: (facts,) windows that hold subject and object, in the order of ``keys``.
    """

    path: Path
    about: Mapping[str, Any]
    keys: npt.NDArray[np.uint64]
    both: IntArray

    def of(self, fact: Fact) -> int | None:
        """Return the number of windows that hold both names of a fact; None if this content was not counted."""
        key = np.uint64(entry_key(fact))
        place = int(np.searchsorted(self.keys, key))
        return int(self.both[place]) if place < len(self.keys) and self.keys[place] == key else None

    def of_all(self, facts: Sequence[Fact], where: str) -> IntArray:
        """Return the same for many facts: (facts,).

        Raises:
            KISError: Facts whose present content was not counted; ``where`` names the configuration key.
        """
        return self.both[COUNTS.places(self.path, self.keys, facts, where)]


def write_counts(
    path: Path, about: Mapping[str, Any], facts: Iterable[Fact], subject: IntArray, obj: IntArray, both: IntArray
) -> None:
    """Write a file, completely or not at all.

    Args:
        path: The file; an older one is replaced.
        about: What was counted, as JSON values.
        facts: In the order of the counts.
        subject: (facts,) windows that hold the subject.
        obj: (facts,) windows that hold the object.
        both: (facts,) windows that hold both.

    Raises:
        KISError: The file cannot be written.
    """
    lines = (
        {"id": fact.id, "subject": int(one), "object": int(other), "both": int(two), "key": f"{entry_key(fact):016x}"}
        for fact, one, other, two in zip(facts, subject, obj, both, strict=True)
    )
    COUNTS.write(path, about, lines)


def read_counts(path: Path) -> FactCounts:
    """Read a file; 16 bytes a fact stay in memory.

    Raises:
        KISError: The file does not exist, or has something wrong, with the line.
    """
    return FactCounts(path, *COUNTS.columns(path, _check, _count, "q"))


def _count(line: Mapping[str, Any], where: str) -> tuple[int, int]:
    """Return key and count of a line."""
    key, count = line.get("key"), line.get("both")
    try:
        number = int(key, 16) if isinstance(key, str) else -1
    except ValueError:
        number = -1
    if type(count) is not int or not 0 <= count < 1 << 63 or not 0 <= number < 1 << 64:
        found = f"both {count!r}, key {key!r}"
        raise KISError(Problem(where, found, "a count and a key of 16 digits", COUNTS.again))
    return number, count


def _check(line: Mapping[str, Any], where: str) -> None:
    """Refuse a first line that describes no counts."""
    if line.get("type") != COUNTS.type or line.get("schema") != COUNTS.schema:
        found = f"{line.get('type')!r}, schema {line.get('schema')!r}"
        raise KISError(Problem(where, found, f"{COUNTS.type!r}, schema {COUNTS.schema}", COUNTS.again))
    size, sample = line.get("bytes"), line.get("sample")
    if (
        type(size) is not int
        or size < 0
        or not isinstance(sample, list)
        or not all(isinstance(text, str) for text in sample)
    ):
        expected = "bytes, a whole number, and sample, a list of texts"
        raise KISError(Problem(where, f"bytes {size!r}, sample {str(sample)[:40]!r}", expected, COUNTS.again))
