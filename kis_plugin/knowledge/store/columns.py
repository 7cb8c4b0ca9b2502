"""Converts a stream of facts and passages to columns, which are written to the cache or only hashed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.knowledge.facts import Fact, Knowledge, Passage
from kis_plugin.knowledge.store.aliases import alias_columns
from kis_plugin.storage.artifact_cache import Writer

__all__ = ["fingerprint", "write_knowledge"]

_BATCH = 8192  # entries
_BYTES = 1 << 24  # of text in a batch, about

Append = Callable[[str, npt.NDArray[Any]], None]
Entries = Iterable[Fact | Passage]


class _Columns:
    """Collects the columns of one kind of entry, and a hash that does not depend on the size of the pieces.

    Args:
        append: Receives the pieces of the columns.
        prefix: Prefix of the columns' names.
        fields: The attributes that hold an entry's texts.
    """

    def __init__(self, append: Append, prefix: str, fields: Sequence[str]) -> None:
        self._append = append
        self._prefix = prefix
        self._fields = fields
        self._digests: dict[str, Any] = {}
        self._end = 0
        self._count = 0
        self.add([])

    def add(self, entries: Sequence[Any]) -> None:
        """Add some entries."""
        texts = [[getattr(entry, field).encode() for entry in entries] for field in self._fields]
        lengths = np.array([[len(text) for text in column] for column in texts], dtype=np.int64)  # (fields, entries)
        ends = self._end + np.cumsum(lengths.sum(axis=0))
        joined = b"".join(chain.from_iterable(zip(*texts, strict=True)))
        self._put("text", np.frombuffer(joined, dtype=np.uint8))
        self._put("ends", ends)
        for field in range(len(self._fields) - 1):
            self._put(f"length{field}", lengths[field].astype(np.uint32))
        timed = [number for number, entry in enumerate(entries) if entry.start != 0.0 or entry.until != 1.0]
        self._put("timed", self._count + np.array(timed, dtype=np.int64))
        self._put("start", np.array([entries[number].start for number in timed], dtype=np.float64))
        self._put("until", np.array([entries[number].until for number in timed], dtype=np.float64))
        self._count += len(entries)
        self._end += len(joined)

    def _put(self, name: str, piece: npt.NDArray[Any], sparse: bool = False) -> None:
        """Add a piece of a column. An empty sparse column does not enter the hash."""
        if len(piece) or not sparse:
            self._digests.setdefault(name, hashlib.sha256()).update(piece.data)
        self._append(f"{self._prefix}_{name}", piece)

    def digest(self) -> str:
        """Return a hash of all columns."""
        return " ".join(f"{name} {found.hexdigest()}" for name, found in sorted(self._digests.items()))


class _FactColumns(_Columns):
    """The columns of facts: texts, and relations numbered in order of appearance."""

    def __init__(self, append: Append) -> None:
        self.relations: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}
        self._alias_bytes = 0
        super().__init__(append, "fact", ("subject", "object", "id"))

    def add(self, entries: Sequence[Fact]) -> None:
        """Add some facts."""
        names = [fact.relation for fact in entries]
        numbers = [self._numbers.setdefault(name, len(self._numbers)) for name in names]
        self.relations.update(names)
        self._put("relation", np.array(numbers, dtype=np.int32))
        for name, piece in alias_columns(entries, self._count, self._alias_bytes).items():
            self._put(name, piece, sparse=True)
            self._alias_bytes += len(piece) if name == "alias_text" else 0
        super().add(entries)

    def digest(self) -> str:
        """Return a hash of all columns and of the relations' names."""
        return f"{super().digest()} {list(self._numbers)!r}"


def write_knowledge(writer: Writer, entries: Entries, progress: Callable[[int], None]) -> None:
    """Write a stream of facts and passages.

    Args:
        writer: Receives the columns, and in ``meta`` the number of facts by ``relations`` and the ``fingerprint``.
        entries: Facts, passages or both.
        progress: Called from time to time with the number of entries so far.
    """
    relations, writer.meta["fingerprint"] = _gather(writer.append, entries, progress)
    writer.meta["relations"] = dict(relations)


def fingerprint(knowledge: Knowledge) -> str:
    """Return the hash of knowledge; it is the same in memory and as written by ``write_knowledge``."""
    return _gather(lambda name, piece: None, chain(knowledge.facts, knowledge.passages), lambda count: None)[1]


def _gather(append: Append, entries: Entries, progress: Callable[[int], None]) -> tuple[Counter[str], str]:
    facts, passages = _FactColumns(append), _Columns(append, "passage", ("text", "id"))
    triples: list[Fact] = []
    documents: list[Passage] = []
    size = count = 0
    for count, entry in enumerate(entries, start=1):
        if isinstance(entry, Fact):
            triples.append(entry)
        else:
            documents.append(entry)
            size += len(entry.text)
        if not count % _BATCH or size > _BYTES:
            facts.add(triples)
            passages.add(documents)
            triples, documents, size = [], [], 0
            progress(count)
    facts.add(triples)
    passages.add(documents)
    progress(count)
    digest = hashlib.sha256(f"{facts.digest()} {passages.digest()}".encode()).hexdigest()
    return facts.relations, digest
