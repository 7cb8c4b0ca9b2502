"""Entities behind names: which names aliases join to one entity, and which are ambiguous."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kis_plugin.knowledge.fact_codes import FactCodes
from kis_plugin.knowledge.facts import Fact
from kis_plugin.storage.unicode_forms import folded

__all__ = ["Entities", "entities_of"]


@dataclass(frozen=True)
class Entities:
    """Which entity each name stands for, by the aliases of some facts' objects.

    Attributes:
        entity: (names,) a number for each name, the same for names that aliases join, directly or by way of others.
        ambiguous: (names,) whether another entity has this name as an alias without being one of its aliases in turn:
            ``Paris``, where ``Paris, Texas`` has the alias ``Paris``.
    """

    entity: npt.NDArray[np.integer]
    ambiguous: npt.NDArray[np.bool_]

    def merged(self, codes: FactCodes) -> FactCodes:
        """Return the facts with entities in place of names."""
        return replace(codes, subject=self.entity[codes.subject], object=self.entity[codes.object])


def entities_of(codes: FactCodes, places: Iterable[int], facts: Iterable[Fact]) -> Entities | None:
    """Read the aliases of facts' objects; None if they have none.

    Names that differ only in case are one. An alias may join two names without being a subject or object itself.

    Args:
        codes: All facts.
        places: The indices of ``facts`` among them.
        facts: Those whose aliases are read, and whose names an alias may be.
    """
    numbers: dict[str, int] = {}
    aliases: dict[str, set[str]] = {}
    for place, fact in zip(places, facts, strict=True):
        name = folded(fact.object)
        numbers[folded(fact.subject)], numbers[name] = int(codes.subject[place]), int(codes.object[place])
        if fact.aliases:
            aliases.setdefault(name, set()).update(folded(alias) for alias in fact.aliases)
    if not aliases:
        return None
    entity = np.arange(codes.names, dtype=codes.subject.dtype)
    for names in _joined(aliases):
        known = [numbers[name] for name in names if name in numbers]
        entity[known] = min(known)
    ambiguous = np.zeros(codes.names, dtype=np.bool_)
    for name, others in aliases.items():
        for alias in others - {name}:
            if alias in numbers and name not in aliases.get(alias, ()):
                ambiguous[numbers[alias]] = True
    return Entities(entity, ambiguous)


def _joined(aliases: Mapping[str, Iterable[str]]) -> Iterable[list[str]]:
    """Return the names of each entity that has aliases: the connected components of the graph of names and aliases."""
    number: dict[str, int] = {}
    pairs = [
        [number.setdefault(one, len(number)) for one in (name, alias)]
        for name, others in aliases.items()
        for alias in others
    ]
    one, other = np.array(pairs, dtype=np.int64).T
    size = len(number)
    edges = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(size, size))
    _, groups = connected_components(edges, directed=False)
    found: dict[int, list[str]] = {}
    for name, group in zip(number, groups.tolist(), strict=True):
        found.setdefault(group, []).append(name)
    return found.values()
