"""Deals facts into groups in which every fact's object is a fair distractor for the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray, mix, permutation
from kis_plugin.knowledge.fact_codes import FactCodes

__all__ = ["deal_groups", "evenly", "groups_of"]

_DEALS = 16  # sets in which an object is true for two subjects are dealt anew, so often at most
_SWAPS = 4  # of each place of a group with another group's


def evenly(count: int, wanted: int, seed: int) -> IntArray:
    """Return at most ``wanted`` of ``range(count)``, sorted, evenly spaced from a seeded first on.

    Of sets in the order of their relations, each relation gets its part, give or take one set.
    """
    wanted = min(wanted, count)
    first = mix(seed, count) % max(count, 1)
    return np.sort((np.arange(wanted) * count // max(wanted, 1) + first) % max(count, 1))


def groups_of(codes: FactCodes, among: IntArray, options: int, seed: int) -> tuple[list[IntArray], dict[str, str]]:
    """Deal facts into groups of one relation with ``options`` distinct objects, none true for another's subject.

    Returns:
        For each relation an array of fact indices, (groups, options), in seeded order; and the relations without
        any group, with the reason.
    """
    groups: list[IntArray] = []
    left_out: dict[str, str] = {}
    true = codes.subject * codes.names + codes.object  # a fact of its relation as one number
    by_relation = _split(np.arange(len(codes.relation)), codes.relation, len(codes.relations))
    asked = _split(among, codes.relation[among], len(codes.relations))
    for number, (relation, known, pool) in enumerate(zip(codes.relations, by_relation, asked, strict=True)):
        distinct = len(np.unique(codes.object[pool]))
        if distinct < options:
            groups.append(np.empty((0, options), dtype=np.int64))
            if len(pool):
                left_out[relation] = f"{distinct} distinct objects among {len(pool)} facts, {options} needed"
            continue
        found = _groups(codes, pool, np.unique(true[known]), options, mix(seed, number))
        groups.append(found)
        if not len(found):
            left_out[relation] = f"no {options} facts found whose objects are each true for one of the subjects only"
    return groups, left_out


def _split(indices: IntArray, keys: IntArray, count: int) -> list[IntArray]:
    """Return ``indices`` by key, in their order."""
    order = np.argsort(keys, kind="stable")
    return np.split(indices[order], np.cumsum(np.bincount(keys, minlength=count))[:-1])


def _groups(codes: FactCodes, pool: IntArray, true: IntArray, options: int, seed: int) -> IntArray:
    def ambiguous(dealt: IntArray) -> npt.NDArray[np.bool_]:
        return _ambiguous(codes.subject[dealt], codes.object[dealt], true, codes.names)

    return deal_groups(codes.object, pool, options, seed, ambiguous)


def deal_groups(
    objects: IntArray,
    pool: IntArray,
    options: int,
    seed: int,
    ambiguous: Callable[[IntArray], npt.NDArray[np.bool_]],
) -> IntArray:
    """Deal what has objects into groups of distinct ones, until nothing is left that fits.

    Args:
        objects: The object of each thing.
        pool: Indices of the things to deal, of ``options`` distinct objects or more.
        options: Things of a group.
        seed: Of the deals.
        ambiguous: Returns which of some groups, (groups, options) of indices, may not be: (groups,).

    Returns:
        Indices, (groups, options).
    """
    found: list[IntArray] = []
    for attempt in range(_DEALS):
        dealt = pool[_deal(objects[pool], options, seed, attempt)]
        if not len(dealt):
            break
        fair = dealt[~ambiguous(dealt)]
        found.append(fair)
        pool = np.setdiff1d(pool, fair)
    return np.concatenate(found)


def _deal(objects: IntArray, options: int, *key: int) -> IntArray:
    """Deal positions of ``objects`` into as many groups of distinct objects as there can be: (groups, options).

    Facts lie in order of their objects, each object's run cut to the number of groups, and group ``g`` takes every
    ``groups``-th from the ``g``-th on: no run is long enough to be met twice (McNaughton's wrap-around rule, 1959).
    Swaps then see to it that an object does not always meet the same others.
    """
    _, classes, counts = np.unique(objects, return_inverse=True, return_counts=True)
    groups = _most_groups(counts.astype(np.int64), options)
    rank = permutation(len(counts), *key, 1)[classes]
    shuffled = permutation(len(objects), *key, 0)
    order = shuffled[np.argsort(rank[shuffled], kind="stable")]
    within = np.arange(len(order)) - np.searchsorted(rank[order], rank[order])
    kept = order[within < groups][: groups * options]
    dealt = kept.reshape(options, groups).T.copy()
    for turn in range(_SWAPS * options):
        _swap(dealt, classes, turn % options, permutation(groups, *key, 2 + turn))
    return dealt


def _swap(dealt: IntArray, classes: IntArray, place: int, order: IntArray) -> None:
    """Let pairs of groups, which ``order`` makes, exchange what they hold at ``place`` where objects stay distinct."""
    half = len(order) // 2
    one, other = order[:half], order[half : 2 * half]
    held = classes[dealt]  # (groups, options)
    rest = np.arange(dealt.shape[1]) != place
    new_to_one = (held[one][:, rest] != held[other, place][:, None]).all(axis=1)
    new_to_other = (held[other][:, rest] != held[one, place][:, None]).all(axis=1)
    one, other = one[new_to_one & new_to_other], other[new_to_one & new_to_other]
    dealt[one, place], dealt[other, place] = dealt[other, place], dealt[one, place]


def _most_groups(counts: IntArray, options: int) -> int:
    """Return the greatest ``m`` with ``sum(min(counts, m)) >= options * m``."""
    low, high = 0, int(counts.sum()) // options
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(counts, middle).sum()) >= options * middle:
            low = middle
        else:
            high = middle - 1
    return low


def _ambiguous(subjects: IntArray, objects: IntArray, true: IntArray, names: int) -> npt.NDArray[np.bool_]:
    """Return for each group whether an object is true for another's subject: (groups, k), (groups, k) -> (groups,)."""
    keys = subjects[:, :, None] * names + objects[:, None, :]  # (groups, k, k)
    places = np.minimum(np.searchsorted(true, keys), len(true) - 1)
    hits = true[places] == keys
    hits[:, np.arange(keys.shape[1]), np.arange(keys.shape[1])] = False  # the right answers
    answer: npt.NDArray[np.bool_] = hits.any(axis=(1, 2))
    return answer
