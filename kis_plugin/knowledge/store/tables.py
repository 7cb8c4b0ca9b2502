"""Sequences of facts and passages over memory-mapped columns; objects are created on access."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.fact_codes import FactCodes, write_codes
from kis_plugin.knowledge.facts import Fact, Passage
from kis_plugin.knowledge.store.aliases import MappedAliases
from kis_plugin.knowledge.store.mapped_columns import MappedColumns
from kis_plugin.storage.artifact_cache import Prepared, Writer, prepared

__all__ = ["FactTable", "Part", "PassageTable", "Table"]

T = TypeVar("T")

_PLACES = 1 << 17  # entries processed at a time
_CODES, _VALIDITY = 2, 1  # versions of the derived arrays in the cache


class Table(Sequence[T], Generic[T]):
    """A sequence whose entries are created on access; iteration holds one batch at a time."""

    batch = 8192
    """Entries created at a time in iteration."""
    _columns: MappedColumns

    def one(self, place: int) -> T:
        """Return the entry at index ``place``, not negative."""
        raise NotImplementedError

    def at(self, places: IntArray) -> list[T]:
        """Return the entries at ``places``, faster than one by one."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._columns)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Part[T]: ...
    def __getitem__(self, place: int | slice) -> T | Part[T]:
        """Return an entry, or a part whose entries are created on access."""
        places = range(len(self))[place]
        return Part(self, places) if isinstance(places, range) else self.one(places)

    def __iter__(self) -> Iterator[T]:
        """Yield all entries."""
        return iter(Part(self, range(len(self))))

    def __eq__(self, other: object) -> bool:
        """Return whether ``other`` is a sequence of the same entries."""
        return _same(self, other)

    __hash__ = object.__hash__


class Part(Sequence[T], Generic[T]):
    """Some entries of a table.

    Args:
        table: The table.
        places: Indices of the entries, in this order.
    """

    def __init__(self, table: Table[T], places: range | IntArray) -> None:
        self._table = table
        self._places = places

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Part[T]: ...
    def __getitem__(self, place: int | slice) -> T | Part[T]:
        """Return an entry, or a part whose entries are created on access."""
        if isinstance(place, slice):
            return Part(self._table, self._places[place])
        return self._table.one(int(self._places[place]))

    def __iter__(self) -> Iterator[T]:
        """Yield all entries."""
        batch = self._table.batch
        for start in range(0, len(self), batch):
            yield from self._table.at(np.asarray(self._places[start : start + batch], dtype=np.int64))

    def __eq__(self, other: object) -> bool:
        """Return whether ``other`` is a sequence of the same entries."""
        return _same(self, other)

    __hash__ = object.__hash__


def _same(mine: Sequence[Any], other: object) -> bool:
    if not isinstance(other, Sequence) or isinstance(other, str) or len(mine) != len(other):
        return False
    return all(one == another for one, another in zip(mine, other, strict=True))


class FactTable(Table[Fact]):
    """Facts from a cache folder; pickles as its paths.

    Args:
        found: The columns that ``write_knowledge`` wrote.
        folder: The cache folder, for what is derived from the facts.
    """

    def __init__(self, found: Prepared, folder: Path | None) -> None:
        self._columns = MappedColumns(found.arrays, "fact", 3)
        self._aliases = MappedAliases(found.arrays)
        self._relation = found.arrays["fact_relation"]
        self.relations: Mapping[str, int] = found.meta["relations"]
        self._names = list(self.relations)
        self._fingerprint: str = found.meta["fingerprint"]
        self._folder = folder
        self._codes: FactCodes | None = None

    def one(self, place: int) -> Fact:
        """Return the fact at ``place``."""
        subject, obj, name = self._columns.entry(place)
        relation = self._names[self._relation.item(place)]
        return Fact(subject, relation, obj, name, *self._columns.validity(place), self._aliases.of(place))

    def at(self, places: IntArray) -> list[Fact]:
        """Return the facts at ``places``."""
        names = [self._names[number] for number in self._relation[places].tolist()]
        subjects, objects, ids = self._columns.texts(places, 3)
        facts = [Fact(*parts) for parts in zip(subjects, names, objects, ids, strict=True)]
        for index, start, until in self._columns.validities(places):
            facts[index] = facts[index]._replace(start=start, until=until)
        for index, aliases in self._aliases.among(places):
            facts[index] = facts[index]._replace(aliases=aliases)
        return facts

    def codes(self) -> FactCodes:
        """Return the facts as numbers (see ``fact_codes.coded``), computed once and kept in the cache."""
        if self._codes is None:
            key = {"knowledge": self._fingerprint, "version": _CODES}
            found = prepared(self._folder, "codes", key, self._write_codes)
            relation, subject, obj = (found.arrays[name] for name in ("relation", "subject", "object"))
            self._codes = FactCodes(tuple(found.meta["relations"]), relation, subject, obj, found.meta["names"])
        return self._codes

    def changing(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Return ``start`` and ``until`` of each fact, (facts,) each; None if every fact always holds."""
        if not self._columns.changes:
            return None
        key = {"knowledge": self._fingerprint, "version": _VALIDITY}
        found = prepared(self._folder, "periods", key, self._write_validity).arrays
        return found["start"], found["until"]

    def relations_of(self, places: IntArray) -> set[str]:
        """Return the names of the relations of some facts."""
        seen = np.zeros(len(self._names), dtype=np.bool_)
        for start in range(0, len(places), _PLACES):
            seen[self._relation[places[start : start + _PLACES]]] = True
        return {self._names[number] for number in np.flatnonzero(seen).tolist()}

    def _write_validity(self, writer: Writer) -> None:
        for start, until in self._columns.all_validities():
            writer.append("start", start)
            writer.append("until", until)

    def _write_codes(self, writer: Writer) -> None:
        relations = sorted(self._names)
        rank = np.array([relations.index(name) for name in self._names], dtype=np.int32)
        writer.append("relation", np.empty(0, dtype=np.int32))
        for start in range(0, len(self), _PLACES):
            writer.append("relation", rank[self._relation[start : start + _PLACES]])
        writer.meta["relations"] = relations
        write_codes(writer, len(self), self._named())

    def _named(self) -> Iterator[tuple[int, list[str], list[str]]]:
        for start in range(0, len(self), self.batch):
            subjects, objects = self._columns.texts(np.arange(start, min(start + self.batch, len(self))), 2)
            yield start, subjects, objects


class PassageTable(Table[Passage]):
    """Passages from a cache folder; pickles as its paths."""

    batch = 64  # passages may be long

    def __init__(self, found: Prepared) -> None:
        self._columns = MappedColumns(found.arrays, "passage", 2)

    def one(self, place: int) -> Passage:
        """Return the passage at ``place``."""
        text, name = self._columns.entry(place)
        return Passage(text, name, *self._columns.validity(place))

    def at(self, places: IntArray) -> list[Passage]:
        """Return the passages at ``places``."""
        texts, ids = self._columns.texts(places, 2)
        passages = [Passage(*parts) for parts in zip(texts, ids, strict=True)]
        for index, start, until in self._columns.validities(places):
            passages[index] = Passage(texts[index], ids[index], start, until)
        return passages
