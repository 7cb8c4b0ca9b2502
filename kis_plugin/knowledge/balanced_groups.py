"""Groups of facts in which every fact's object is a fair distractor for the other facts of the group."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray, mix, permutation
from kis_plugin.knowledge.fact_codes import FactCodes

__all__ = ["HANDFUL", "balanced_groups", "evenly", "fitting_options", "groups_by_relation"]

HANDFUL = 100
"""Up to this many facts, options and controls adapt to what there is; of more, settings that do not fit are errors."""

_ATTEMPTS = 16  # rounds in which the facts of unfair groups are grouped again
_SWAPS = 4  # exchanges with other groups, per position of a group


def evenly(count: int, wanted: int, seed: int) -> IntArray:
    """Return at most ``wanted`` of ``range(count)``, sorted and evenly spaced, from a seeded start.

    Applied to groups in the order of their relations, it takes from each relation its proportional part, give or take
    one group.
    """
    wanted = min(wanted, count)
    first = mix(seed, count) % max(count, 1)
    return np.sort((np.arange(wanted) * count // max(wanted, 1) + first) % max(count, 1))


def fitting_options(codes: FactCodes, among: IntArray, options: int, seed: int) -> int:
    """Return how many options questions can have: ``options``, or of a handful of facts the most that form a group.

    Args:
        codes: All facts.
        among: Indices of the facts to group.
        options: Options requested.
        seed: Seeds the assignment.

    Returns:
        From 2 to ``options``; ``options`` if not even two facts form a group.
    """
    if len(codes.relation) > HANDFUL:
        return options
    for fewer in range(options, 1, -1):
        if any(len(found) for found in groups_by_relation(codes, among, fewer, seed)[0]):
            return fewer
    return options


def groups_by_relation(
    codes: FactCodes, among: IntArray, options: int, seed: int
) -> tuple[list[IntArray], dict[str, str]]:
    """Group facts of one relation so that a group has distinct objects and no object is true for another's subject.

    Args:
        codes: All facts. A distractor must be false for every one of them.
        among: Indices of the facts to group.
        options: Facts of a group, which are the answer options of a question.
        seed: Seeds the assignment.

    Returns:
        For each relation an array of fact indices, (groups, options), in seeded order; and the relations for which
        there is no group, with the reason.
    """
    groups: list[IntArray] = []
    left_out: dict[str, str] = {}
    # A pair of names is one number, so that "is this object true for that subject?" is a search in a sorted array.
    true = codes.subject * codes.names + codes.object
    by_relation = _split(np.arange(len(codes.relation)), codes.relation, len(codes.relations))
    pools = _split(among, codes.relation[among], len(codes.relations))
    for number, (relation, known, pool) in enumerate(zip(codes.relations, by_relation, pools, strict=True)):
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
    """Return ``indices`` by key, each part in the original order."""
    order = np.argsort(keys, kind="stable")
    return np.split(indices[order], np.cumsum(np.bincount(keys, minlength=count))[:-1])


def _groups(codes: FactCodes, pool: IntArray, true: IntArray, options: int, seed: int) -> IntArray:
    def ambiguous(groups: IntArray) -> npt.NDArray[np.bool_]:
        return _ambiguous(codes.subject[groups], codes.object[groups], true, codes.names)

    return balanced_groups(codes.object, pool, options, seed, ambiguous)


def balanced_groups(
    objects: IntArray,
    pool: IntArray,
    options: int,
    seed: int,
    ambiguous: Callable[[IntArray], npt.NDArray[np.bool_]],
) -> IntArray:
    """Group entries by distinct objects, as many groups as can be found.

    Args:
        objects: The object of each entry, as a number.
        pool: Indices of the entries to group, of ``options`` distinct objects or more.
        options: Entries of a group.
        seed: Seeds the assignment.
        ambiguous: Takes groups, (groups, options) of indices, and returns which are not allowed: (groups,).

    Returns:
        Indices, (groups, options).
    """
    found: list[IntArray] = []
    # The arrangement guarantees distinct objects, not that an object is false for the other subjects. Groups that
    # break this are dissolved, and their members arranged again under another key, until none is left or the attempts
    # are spent.
    for attempt in range(_ATTEMPTS):
        groups = pool[_arrange(objects[pool], options, seed, attempt)]
        if not len(groups):
            break
        fair = groups[~ambiguous(groups)]
        found.append(fair)
        pool = np.setdiff1d(pool, fair)
    return np.concatenate(found)


def _arrange(objects: IntArray, options: int, *key: int) -> IntArray:
    """Assign positions of ``objects`` to as many groups of distinct objects as possible: (groups, options).

    McNaughton's wrap-around rule (1959): sort the facts by object, cut each object's run to the number of groups, and
    let group ``g`` take every ``groups``-th fact from the ``g``-th on. A run is no longer than the distance between
    two facts of a group, so no group gets an object twice. Swaps then vary which objects meet in a group.
    """
    _, classes, counts = np.unique(objects, return_inverse=True, return_counts=True)
    groups = _most_groups(counts.astype(np.int64), options)
    # Objects in random order, and the facts of an object in random order: (facts,).
    rank = permutation(len(counts), *key, 1)[classes]
    shuffled = permutation(len(objects), *key, 0)
    order = shuffled[np.argsort(rank[shuffled], kind="stable")]
    # Position of each fact within its object's run; those beyond the number of groups cannot be used.
    within = np.arange(len(order)) - np.searchsorted(rank[order], rank[order])
    kept = order[within < groups][: groups * options]
    # Column g of the (options, groups) layout holds every groups-th fact: the members of group g.
    arranged = kept.reshape(options, groups).T.copy()
    # Neighbouring objects of the sorted order would always meet each other; swaps between random pairs undo that.
    for turn in range(_SWAPS * options):
        _swap(arranged, classes, turn % options, permutation(groups, *key, 2 + turn))
    return arranged


def _swap(groups: IntArray, classes: IntArray, column: int, order: IntArray) -> None:
    """Exchange one column between pairs of groups where objects stay distinct. ``order`` makes the pairs. In place."""
    half = len(order) // 2
    one, other = order[:half], order[half : 2 * half]
    held = classes[groups]  # (groups, options): the object of each member
    rest = np.arange(groups.shape[1]) != column
    # An exchange is allowed only if the newcomer's object is new to both groups.
    new_to_one = (held[one][:, rest] != held[other, column][:, None]).all(axis=1)
    new_to_other = (held[other][:, rest] != held[one, column][:, None]).all(axis=1)
    one, other = one[new_to_one & new_to_other], other[new_to_one & new_to_other]
    groups[one, column], groups[other, column] = groups[other, column], groups[one, column]


def _most_groups(counts: IntArray, options: int) -> int:
    """Return the greatest ``m`` with ``sum(min(counts, m)) >= options * m``.

    ``m`` groups use an object at most ``m`` times, so this many facts are needed and, by the wrap-around rule, enough.
    The condition holds for every smaller number too, hence bisection.
    """
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
    keys = subjects[:, :, None] * names + objects[:, None, :]  # (groups, k, k): every subject with every object
    places = np.minimum(np.searchsorted(true, keys), len(true) - 1)
    hits = true[places] == keys
    hits[:, np.arange(keys.shape[1]), np.arange(keys.shape[1])] = False  # the diagonal: each fact's own object
    answer: npt.NDArray[np.bool_] = hits.any(axis=(1, 2))
    return answer
