"""Knowledge too large for memory: facts and passages as memory-mapped columns, made into objects when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

from kis_plugin.cache import Prepared, Writer, prepared, release
from kis_plugin.codes import Codes, write_codes
from kis_plugin.knowledge import Fact, Passage
from kis_plugin.seeded import IntArray

__all__ = ["FactTable", "Part", "PassageTable", "Table"]

T = TypeVar("T")

_BATCH = 8192  # objects made at a time
_KEPT = 1 << 17  # objects made between two releases of mapped pages
_CODES = _PERIODS = 1  # versions of what is derived


class _Columns:
    """The columns of entries that hold some texts each, and perhaps for a part of the run only.

    Args:
        arrays: ``<prefix>_text``, all texts in UTF-8; ``_ends``, where each entry ends in it; ``_length0`` and so on,
            bytes of each text but the last; ``_timed``, entries with a period; ``_start`` and ``_until``, theirs.
        prefix: Which columns.
        fields: Texts an entry.
    """

    def __init__(self, arrays: Mapping[str, Any], prefix: str, fields: int) -> None:
        self._text = arrays[f"{prefix}_text"]
        self._ends = arrays[f"{prefix}_ends"]
        self._lengths = [arrays[f"{prefix}_length{field}"] for field in range(fields - 1)]
        self._timed, self._start, self._until = (arrays[f"{prefix}_{name}"] for name in ("timed", "start", "until"))

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def changes(self) -> bool:
        """Whether any entry holds in a part of the run only."""
        return len(self._timed) > 0

    def texts(self, places: IntArray, fields: int) -> list[list[str]]:
        """Return the first ``fields`` texts of some entries: (fields, entries)."""
        bounds = [np.where(places > 0, self._ends[np.maximum(places - 1, 0)], 0)]
        for lengths in self._lengths[:fields]:
            bounds.append(bounds[-1] + lengths[places])
        if fields > len(self._lengths):
            bounds.append(self._ends[places])
        cuts = [bound.tolist() for bound in bounds]
        text = memoryview(self._text)
        return [
            [str(text[start:end], "utf-8") for start, end in zip(starts, ends, strict=True)]
            for starts, ends in pairwise(cuts)
        ]

    def entry(self, place: int) -> list[str]:
        """Return the texts of one entry."""
        cut = int(self._ends[place - 1]) if place else 0
        texts = []
        for lengths in self._lengths:
            texts.append(str(self._text[cut : cut + lengths[place]].data, "utf-8"))
            cut += int(lengths[place])
        texts.append(str(self._text[cut : self._ends[place]].data, "utf-8"))
        return texts

    def period(self, place: int) -> tuple[float, float]:
        """Return from when until when one entry holds."""
        near = int(np.searchsorted(self._timed, place)) if len(self._timed) else 0
        if near == len(self._timed) or self._timed[near] != place:
            return 0.0, 1.0
        return float(self._start[near]), float(self._until[near])

    def periods(self, places: IntArray) -> list[tuple[int, float, float]]:
        """Return which of ``places``, as an index into them, holds from when until when; not those that always do."""
        if not len(self._timed):
            return []
        near = np.minimum(np.searchsorted(self._timed, places), len(self._timed) - 1)
        hits = np.flatnonzero(self._timed[near] == places)
        rows = near[hits]
        return list(zip(hits.tolist(), self._start[rows].tolist(), self._until[rows].tolist(), strict=True))

    def every_period(self) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
        """Yield from when until when all entries hold, a few at a time: (some,) each. Nothing if all always do."""
        for first in range(0, len(self) if len(self._timed) else 0, _KEPT):
            last = min(first + _KEPT, len(self))
            start, until = np.zeros(last - first), np.ones(last - first)
            some = slice(*np.searchsorted(self._timed, [first, last]))
            start[self._timed[some] - first] = self._start[some]
            until[self._timed[some] - first] = self._until[some]
            yield start, until

    def release(self) -> None:
        release(self._text, self._ends, *self._lengths)


class Table(Sequence[T], Generic[T]):
    """Entries made when they are asked for; iteration holds a few thousand at a time."""

    _columns: _Columns

    def one(self, place: int) -> T:
        """Return the entry at ``place``, 0 or more."""
        raise NotImplementedError

    def at(self, places: IntArray) -> list[T]:
        """Return the entries at ``places``, quicker than one by one."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._columns)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Part[T]: ...
    def __getitem__(self, place: int | slice) -> T | Part[T]:
        """Return an entry, or a part whose entries are made later."""
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
        table: Which table.
        places: Which entries, in this order.
    """

    def __init__(self, table: Table[T], places: range | IntArray) -> None:
        self._table = table
        self._places = places

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Part[T]: ...
    def __getitem__(self, place: int | slice) -> T | Part[T]:
        """Return an entry, or a part whose entries are made later."""
        if isinstance(place, slice):
            return Part(self._table, self._places[place])
        return self._table.one(int(self._places[place]))

    def __iter__(self) -> Iterator[T]:
        """Yield all entries."""
        for start in range(0, len(self), _BATCH):
            yield from self._table.at(np.asarray(self._places[start : start + _BATCH], dtype=np.int64))
            if (start + _BATCH) % _KEPT == 0:
                self._table._columns.release()

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
        found: What ``write_knowledge`` wrote.
        folder: The cache folder, for what is derived from the facts.
    """

    def __init__(self, found: Prepared, folder: Path | None) -> None:
        self._columns = _Columns(found.arrays, "fact", 3)
        self._relation = found.arrays["fact_relation"]
        self.relations: Mapping[str, int] = found.meta["relations"]
        self._names = list(self.relations)
        self._fingerprint: str = found.meta["fingerprint"]
        self._folder = folder
        self._codes: Codes | None = None

    def one(self, place: int) -> Fact:
        """Return the fact at ``place``."""
        subject, obj, name = self._columns.entry(place)
        return Fact(subject, self._names[self._relation[place]], obj, name, *self._columns.period(place))

    def at(self, places: IntArray) -> list[Fact]:
        """Return the facts at ``places``."""
        names = [self._names[number] for number in self._relation[places].tolist()]
        subjects, objects, ids = self._columns.texts(places, 3)
        facts = [Fact(*parts) for parts in zip(subjects, names, objects, ids, strict=True)]
        for index, start, until in self._columns.periods(places):
            facts[index] = Fact(subjects[index], names[index], objects[index], ids[index], start, until)
        return facts

    def codes(self) -> Codes:
        """Return what ``kis_plugin.codes.coded`` gives, made once and kept beside the facts."""
        if self._codes is None:
            key = {"knowledge": self._fingerprint, "version": _CODES}
            found = prepared(self._folder, "codes", key, self._write_codes)
            relation, subject, obj = (found.arrays[name] for name in ("relation", "subject", "object"))
            self._codes = Codes(tuple(found.meta["relations"]), relation, subject, obj, found.meta["names"])
        return self._codes

    def changing(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Return from when until when each fact holds, (facts,) each; None if all do all the time."""
        if not self._columns.changes:
            return None
        key = {"knowledge": self._fingerprint, "version": _PERIODS}
        found = prepared(self._folder, "periods", key, self._write_periods).arrays
        return found["start"], found["until"]

    def relations_of(self, places: IntArray) -> set[str]:
        """Return the names of the relations of some facts."""
        seen = np.zeros(len(self._names), dtype=np.bool_)
        for start in range(0, len(places), _KEPT):
            seen[self._relation[places[start : start + _KEPT]]] = True
        return {self._names[number] for number in np.flatnonzero(seen).tolist()}

    def _write_periods(self, writer: Writer) -> None:
        for start, until in self._columns.every_period():
            writer.append("start", start)
            writer.append("until", until)

    def _write_codes(self, writer: Writer) -> None:
        relations = sorted(self._names)
        rank = np.array([relations.index(name) for name in self._names], dtype=np.int32)
        writer.append("relation", np.empty(0, dtype=np.int32))
        for start in range(0, len(self), _KEPT):
            writer.append("relation", rank[self._relation[start : start + _KEPT]])
        writer.meta["relations"] = relations
        write_codes(writer, len(self), self._named())

    def _named(self) -> Iterator[tuple[int, list[str], list[str]]]:
        for start in range(0, len(self), _BATCH):
            subjects, objects = self._columns.texts(np.arange(start, min(start + _BATCH, len(self))), 2)
            yield start, subjects, objects
            if (start + _BATCH) % _KEPT == 0:
                self._columns.release()


class PassageTable(Table[Passage]):
    """Passages from a cache folder; pickles as its paths."""

    def __init__(self, found: Prepared) -> None:
        self._columns = _Columns(found.arrays, "passage", 2)

    def one(self, place: int) -> Passage:
        """Return the passage at ``place``."""
        text, name = self._columns.entry(place)
        return Passage(text, name, *self._columns.period(place))

    def at(self, places: IntArray) -> list[Passage]:
        """Return the passages at ``places``."""
        texts, ids = self._columns.texts(places, 2)
        passages = [Passage(*parts) for parts in zip(texts, ids, strict=True)]
        for index, start, until in self._columns.periods(places):
            passages[index] = Passage(texts[index], ids[index], start, until)
        return passages
