"""Facts as numbers: what control splits and answer options are computed from, for ten facts or ten million."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray, hashes
from kis_plugin.knowledge.facts import Fact
from kis_plugin.storage.artifact_cache import Writer
from kis_plugin.storage.unicode_forms import folded

__all__ = ["MANY", "FactCodes", "coded", "sample", "write_codes"]

MANY = 200_000
"""Above this number of facts a choice is made from a sample of them."""

_PIECE = 1 << 20  # numbers processed at a time
_PARTS = 64  # parts of the names, by hash, which are sorted one after the other to bound memory

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class FactCodes:
    """Facts as numbers. Subjects and objects share one numbering; names are compared by ``unicode_forms.folded``.

    Attributes:
        relations: The relations' names, sorted.
        relation: (facts,) indices into ``relations``.
        subject: (facts,) numbers of names.
        object: (facts,) numbers of names.
        names: Number of distinct names.

    The arrays are int64, or memory-mapped int32 where there are many facts.
    """

    relations: tuple[str, ...]
    relation: Numbers
    subject: Numbers
    object: Numbers
    names: int

    def at(self, places: IntArray) -> FactCodes:
        """Return the codes of some facts, as int64; relations and names keep their numbers."""
        columns = (self.relation, self.subject, self.object)
        relation, subject, obj = (np.asarray(column[places], dtype=np.int64) for column in columns)
        return FactCodes(self.relations, relation, subject, obj, self.names)

    def mask(self, names: Numbers) -> npt.NDArray[np.bool_]:
        """Return for each name whether it is among ``names``: (names,)."""
        among = np.zeros(self.names, dtype=np.bool_)
        among[names] = True
        return among


@runtime_checkable
class _Coded(Protocol):
    def codes(self) -> FactCodes:
        """Return the codes of all facts."""


def coded(facts: Sequence[Fact]) -> FactCodes:
    """Number the names and relations of ``facts``, names in the order in which they appear, subjects first."""
    if isinstance(facts, _Coded):
        return facts.codes()
    names: dict[str, int] = {}
    subjects = [names.setdefault(folded(fact.subject), len(names)) for fact in facts]
    objects = [names.setdefault(folded(fact.object), len(names)) for fact in facts]
    relations = sorted({fact.relation for fact in facts})
    rank = {relation: number for number, relation in enumerate(relations)}
    return FactCodes(
        relations=tuple(relations),
        relation=np.array([rank[fact.relation] for fact in facts], dtype=np.int64),
        subject=np.array(subjects, dtype=np.int64),
        object=np.array(objects, dtype=np.int64),
        names=len(names),
    )


def sample(count: int, size: int, *key: int) -> IntArray:
    """Return ``size`` of ``range(count)``, sorted: one seeded draw from each of ``size`` equal parts."""
    if size >= count:
        return np.arange(count, dtype=np.int64)
    if not size:
        return np.arange(0, dtype=np.int64)
    bounds = np.arange(size + 1, dtype=np.int64) * count // size
    widths = np.diff(bounds).astype(np.uint64)
    return bounds[:-1] + (hashes(size, *key) % widths).astype(np.int64)


def write_codes(writer: Writer, count: int, names: Iterable[tuple[int, Sequence[str], Sequence[str]]]) -> None:
    """Number the names of facts as ``coded`` does, from 64-bit hashes: subject and object, (facts,) each.

    Among twenty million names two share a hash with a probability of 1 in 90,000 (birthday bound, n²/2⁶⁵). They would
    count as one name, and their facts as related; nothing worse.

    Args:
        writer: Takes ``subject`` and ``object``; its meta takes ``names``.
        count: Facts.
        names: The facts in pieces: index of the first, subjects, objects.
    """
    digests = np.empty(2 * count, dtype=np.uint64)
    for start, subjects, objects in names:
        digests[start : start + len(subjects)] = _digests(subjects)
        digests[count + start : count + start + len(objects)] = _digests(objects)
    narrow = np.int32 if 2 * count < 2**31 else np.int64
    first = np.empty(2 * count, dtype=narrow)  # index of each name's first occurrence
    byte = digests.view(np.uint8)[::8]
    for part in range(_PARTS):
        places = np.flatnonzero(byte % _PARTS == part)
        _, index, group = np.unique(digests[places], return_index=True, return_inverse=True)
        first[places] = places[index][group]
    del digests, byte
    # Number the names in order of first occurrence, as ``coded`` does: a running count of new names.
    rank = np.empty(2 * count, dtype=narrow)
    known = 0
    for start in range(0, 2 * count, _PIECE):
        new = first[start : start + _PIECE] == np.arange(start, min(start + _PIECE, 2 * count))
        rank[start : start + _PIECE] = known - 1 + np.cumsum(new)
        known += int(new.sum())
    for name, begin in (("subject", 0), ("object", count)):
        writer.append(name, np.empty(0, dtype=narrow))
        for start in range(begin, begin + count, _PIECE):
            writer.append(name, rank[first[start : min(start + _PIECE, begin + count)]])
    writer.meta["names"] = known


def _digests(names: Sequence[str]) -> npt.NDArray[np.uint64]:
    found = b"".join([blake2b(folded(name).encode(), digest_size=8).digest() for name in names])
    return np.frombuffer(found, dtype="<u8")
