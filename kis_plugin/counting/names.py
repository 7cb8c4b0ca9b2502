"""The names of facts as numbers: the patterns to search for, and the pairs of names that make a fact.

An *entity* is a set of names with one meaning: a subject, or an object with its aliases. Facts with the same subject
and object share one *pair*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kis_plugin.counting.name_rules import AS_WRITTEN, NameRules, lowered
from kis_plugin.counting.windows import one_line
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.facts import Fact

__all__ = ["Names", "expanded", "names_of"]


@dataclass(frozen=True)
class Names:
    """Patterns, entities and pairs.

    Lists of lists are stored end to end: list ``i`` lies between bounds ``i`` and ``i + 1``.

    Attributes:
        patterns: The distinct names, with white space as single spaces; those that are compared without case in lower
            case.
        folded: (patterns,) which of them are compared without case; None where the rules never ignore it.
        entity_bounds: (patterns + 1,) into ``entity``.
        entity: The entities named by each pattern.
        entities: Number of entities.
        pair_bounds: (entities + 1,) into ``pair``.
        pair: The pairs to look up where an entity is found. A pair is listed under the one of its two entities that
            is in fewer pairs, so that no entity lists more than about the square root of twice the pairs.
        other: (pairs,) the other entity of each of ``pair``.
        subject: (facts,) entities.
        object: (facts,) entities.
        pair_of: (facts,) pairs.
    """

    patterns: tuple[str, ...]
    folded: npt.NDArray[np.bool_] | None
    entity_bounds: IntArray
    entity: IntArray
    entities: int
    pair_bounds: IntArray
    pair: IntArray
    other: IntArray
    subject: IntArray
    object: IntArray
    pair_of: IntArray

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return len(self.pair)


def names_of(facts: Iterable[Fact], rules: NameRules = AS_WRITTEN) -> Names:
    """Number the names of facts in order of appearance.

    Args:
        facts: The facts.
        rules: Which names an entity has, and how they are compared.
    """
    patterns: dict[tuple[str, bool], int] = {}
    entities: dict[tuple[int, ...], int] = {}

    def entity(names: Iterable[tuple[str, bool]]) -> int:
        plain = [(one_line(name), folded) for name, folded in names]
        keys = [(lowered(name) if folded else name, folded) for name, folded in plain if name]
        numbers = {patterns.setdefault(key, len(patterns)) for key in keys}
        return entities.setdefault(tuple(sorted(numbers)), len(entities))

    ends: list[int] = []
    for fact in facts:
        ends += (entity(rules.of_subject(fact)), entity(rules.of_object(fact)))
    subject, obj = np.array(ends, dtype=np.int64).reshape(-1, 2).T
    pattern = np.fromiter((number for names in entities for number in names), dtype=np.int64)
    owner = np.repeat(np.arange(len(entities)), [len(names) for names in entities])
    order = np.argsort(pattern, kind="stable")
    codes, pair_of = np.unique(subject * len(entities) + obj, return_inverse=True)
    first, second = codes // max(len(entities), 1), codes % max(len(entities), 1)
    degree = np.bincount(np.concatenate([first, second]), minlength=len(entities))
    # A frequent name (a country, say) is in many pairs and occurs in many windows. Listing its pairs under the rarer
    # entity keeps the look-ups per window few.
    swap = degree[first] > degree[second]
    driver, follower = np.where(swap, second, first), np.where(swap, first, second)
    by_driver = np.argsort(driver, kind="stable")
    return Names(
        patterns=tuple(name for name, _ in patterns),
        folded=np.array([folded for _, folded in patterns], dtype=np.bool_) if rules.folds else None,
        entity_bounds=_bounds(pattern, len(patterns)),
        entity=owner[order],
        entities=len(entities),
        pair_bounds=_bounds(driver, len(entities)),
        pair=by_driver,
        other=follower[by_driver],
        subject=subject,
        object=obj,
        pair_of=pair_of.ravel(),
    )


def expanded(bounds: IntArray, numbers: IntArray) -> tuple[IntArray, IntArray]:
    """Look up lists that are stored end to end.

    Args:
        bounds: Where each list begins, and where the last one ends.
        numbers: (n,) the lists to look up.

    Returns:
        For each element of those lists the index of its list in ``numbers``, and its own index.
    """
    sizes = bounds[numbers + 1] - bounds[numbers]
    which: IntArray = np.repeat(np.arange(len(numbers)), sizes)
    skipped = np.cumsum(sizes) - sizes - bounds[numbers]
    return which, np.arange(len(which)) - skipped[which]


def _bounds(numbers: npt.NDArray[np.integer], count: int) -> IntArray:
    """Return where the elements of each number begin when sorted by number: (count + 1,)."""
    return np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=count))]).astype(np.int64)
