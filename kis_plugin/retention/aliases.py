"""What aliases say of names: which of them stand for one thing, and which may stand for several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kis_plugin.knowledge.fact_codes import FactCodes
from kis_plugin.knowledge.facts import Fact

__all__ = ["OtherNamesProbe", "other_names"]


@dataclass(frozen=True)
class OtherNamesProbe:
    """What the aliases of some facts' objects say of names.

    Attributes:
        thing: (names,) a number for each name, the same for names that aliases join, be it by way of others.
        doubtful: (names,) whether something that goes by another name has this one as an alias, and is not among its
            aliases in turn: ``Paris``, where ``Paris, Texas`` is called so too.
    """

    thing: npt.NDArray[np.integer]
    doubtful: npt.NDArray[np.bool_]

    def merged(self, codes: FactCodes) -> FactCodes:
        """Return facts told of things in place of names."""
        return replace(codes, subject=self.thing[codes.subject], object=self.thing[codes.object])


def other_names(codes: FactCodes, places: Iterable[int], facts: Iterable[Fact]) -> OtherNamesProbe | None:
    """Look at the aliases of facts' objects; None if they have none.

    Names that differ in case alone are one. An alias may join two names without being the name of anything told.

    Args:
        codes: All facts.
        places: Those of ``facts`` among them.
        facts: Where aliases are looked for, and the names that they may be.
    """
    numbers: dict[str, int] = {}
    aliases: dict[str, set[str]] = {}
    for place, fact in zip(places, facts, strict=True):
        name = fact.object.casefold()
        numbers[fact.subject.casefold()], numbers[name] = int(codes.subject[place]), int(codes.object[place])
        if fact.aliases:
            aliases.setdefault(name, set()).update(alias.casefold() for alias in fact.aliases)
    if not aliases:
        return None
    thing = np.arange(codes.names, dtype=codes.subject.dtype)
    for names in _joined(aliases):
        known = [numbers[name] for name in names if name in numbers]
        thing[known] = min(known)
    doubtful = np.zeros(codes.names, dtype=np.bool_)
    for name, others in aliases.items():
        for alias in others - {name}:
            if alias in numbers and name not in aliases.get(alias, ()):
                doubtful[numbers[alias]] = True
    return OtherNamesProbe(thing, doubtful)


def _joined(aliases: Mapping[str, Iterable[str]]) -> Iterable[list[str]]:
    """Return the names of each thing that has aliases."""
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
