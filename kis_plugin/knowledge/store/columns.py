"""Facts and passages into columns: written to a cache folder as they stream by, or only hashed."""

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
    """Gathers the columns of one kind of entry, and a hash of them that does not depend on how they come in pieces.

    Args:
        append: Takes the pieces of the columns, which ``tables`` describes.
        prefix: Before the columns' names.
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
        """Take some entries."""
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
        """Take a piece of a column; a sparse one is no part of the hash while it is empty."""
        if len(piece) or not sparse:
            self._digests.setdefault(name, hashlib.sha256()).update(piece.data)
        self._append(f"{self._prefix}_{name}", piece)

    def digest(self) -> str:
        """Return a hash of all columns."""
        return " ".join(f"{name} {found.hexdigest()}" for name, found in sorted(self._digests.items()))


class _FactColumns(_Columns):
    """The columns of facts: their texts, and their relations, numbered as they come."""

    def __init__(self, append: Append) -> None:
        self.relations: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}
        self._alias_bytes = 0
        super().__init__(append, "fact", ("subject", "object", "id"))

    def add(self, entries: Sequence[Fact]) -> None:
        """Take some facts."""
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


def write_knowledge(writer: Writer, entries: Entries, watch: Callable[[int], None]) -> None:
    """Write facts and passages as they come.

    Args:
        writer: Takes the columns; its meta takes ``relations``, facts of each, and ``fingerprint``.
        entries: Facts, passages or both.
        watch: Told every now and then how many there are so far.
    """
    relations, writer.meta["fingerprint"] = _gather(writer.append, entries, watch)
    writer.meta["relations"] = dict(relations)


def fingerprint(knowledge: Knowledge) -> str:
    """Return the hash of some knowledge: the same for what is in memory and what ``write_knowledge`` wrote of it."""
    return _gather(lambda name, piece: None, chain(knowledge.facts, knowledge.passages), lambda count: None)[1]


def _gather(append: Append, entries: Entries, watch: Callable[[int], None]) -> tuple[Counter[str], str]:
    facts, passages = _FactColumns(append), _Columns(append, "passage", ("text", "id"))
    told: list[Fact] = []
    documents: list[Passage] = []
    size = count = 0
    for count, entry in enumerate(entries, start=1):
        if isinstance(entry, Fact):
            told.append(entry)
        else:
            documents.append(entry)
            size += len(entry.text)
        if not count % _BATCH or size > _BYTES:
            facts.add(told)
            passages.add(documents)
            told, documents, size = [], [], 0
            watch(count)
    facts.add(told)
    passages.add(documents)
    watch(count)
    digest = hashlib.sha256(f"{facts.digest()} {passages.digest()}".encode()).hexdigest()
    return facts.relations, digest
