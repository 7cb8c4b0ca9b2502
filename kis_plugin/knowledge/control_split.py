"""Control facts: of the same kind as the infused ones, never infused, asked alike. They must stay at chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray, mix
from kis_plugin.knowledge.balanced_groups import groups_of
from kis_plugin.knowledge.fact_codes import MANY, FactCodes, coded, sample
from kis_plugin.knowledge.facts import Fact

__all__ = ["MOST", "split_control", "tied_subjects"]

MOST = 1 / 5
"""Controls are at most this part of the facts: what is held back is not infused."""

_WHERE = "retention.control"
_SEED = 0x636F6E74
_SPARE = 20  # times as many facts are looked at as are wanted, where there are many
_ROUNDS = 50  # ties that are followed from one subject to another


def split_control(facts: Sequence[Fact], count: int, seed: int, options: int = 4) -> tuple[IntArray, IntArray]:
    """Choose the facts that are never infused.

    Whole subjects are held back, and with a subject all subjects it is told of by a fact of its own (``Paris`` with
    ``France`` where there are both ``capital`` and ``capital of``): else infused facts would give the answer away.
    They are taken by balanced groups of ``options`` facts, so that controls can be asked among themselves, from the
    relation that lacks most of its part of ``count``. Of more than ``MANY`` facts a seeded sample of subjects is
    looked at, evenly spread over them, with all that they are tied to.

    Args:
        facts: All facts.
        count: About so many controls, never more and at most a fifth of the facts; 0 for none.
        seed: The same seed gives the same split on every platform and in every release.
        options: Options of a question.

    Returns:
        Indices of the infused facts and of the control facts, both sorted.

    Raises:
        KISError: Not even one group of ``options`` facts can be held back.
    """
    everything = np.arange(len(facts), dtype=np.int64)
    if not count or not len(facts):
        return everything, np.empty(0, dtype=np.int64)
    limit = min(count, int(len(facts) * MOST))
    hint = f"Set {_WHERE}: 0 to infuse every fact, without a check for leaks."
    if limit < options:
        found = f"{count} controls wanted of {len(facts)} facts"
        expected = f"at least {options} controls and {int(options / MOST)} facts (a fifth may be held back)"
        raise KISError(Problem(_WHERE, found, expected, hint))
    control = _controls(coded(facts), limit, mix(seed, _SEED), options)
    if not len(control):
        expected = f"{options} facts of one relation with distinct objects, to hold back at most {limit} facts"
        raise KISError(Problem(_WHERE, "none among those that can be held back together", expected, hint))
    return np.delete(everything, control), control


def _controls(codes: FactCodes, limit: int, seed: int, options: int) -> IntArray:
    """Return the places of the controls, sorted."""
    size = max(MANY // 4, _SPARE * limit)
    if len(codes.subject) <= max(MANY, size):
        return np.flatnonzero(_hold_back(codes, limit, seed, options))
    inside, open_ends = _with_ties(codes, sample(len(codes.subject), size, seed))
    places = np.flatnonzero(inside[codes.subject] & ~open_ends[codes.subject])
    return places[_hold_back(codes.at(places), limit, seed, options)]


def _with_ties(codes: FactCodes, chosen: IntArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which subjects are those of the ``chosen`` facts or tied to them, and which are tied to still others.

    Both (names,). The second are those from which more than ``_ROUNDS`` ties lead on, one after the other.
    """
    inside = codes.mask(codes.subject[chosen])
    for _ in range(_ROUNDS):
        told = codes.at(np.flatnonzero(inside[codes.subject]))
        telling = codes.at(np.flatnonzero(inside[codes.object] & codes.mask(told.object)[codes.subject]))
        mutual = np.isin(told.subject * codes.names + told.object, telling.object * codes.names + telling.subject)
        ends = told.object[mutual]
        outside = ends[~inside[ends]]
        if not len(outside):
            return inside, np.zeros_like(inside)
        inside[outside] = True
    tie = tied_subjects(told)
    leading_on = told.subject[np.isin(tie, tie[mutual & codes.mask(outside)[told.object]])]
    return inside, codes.mask(np.concatenate([leading_on, outside]))


def _hold_back(codes: FactCodes, limit: int, seed: int, options: int) -> npt.NDArray[np.bool_]:
    """Return for each fact whether it is a control: (facts,)."""
    tie = tied_subjects(codes)
    members = np.argsort(tie, kind="stable")
    sizes = np.bincount(tie)
    starts = np.cumsum(sizes) - sizes
    groups, _ = groups_of(codes, np.arange(len(tie)), options, seed)
    relations = len(groups)
    wanted = limit * np.bincount(codes.relation, minlength=relations) / len(tie)
    got = np.zeros(relations)
    following = np.zeros(relations, dtype=np.int64)
    held = np.zeros(len(tie), dtype=np.bool_)
    left = limit
    spent = np.array([len(group) == 0 for group in groups])
    while left >= options and not spent.all():
        relation = int(np.argmax(np.where(spent, -np.inf, wanted - got)))
        group = groups[relation][following[relation]]
        following[relation] += 1
        spent[relation] = following[relation] == len(groups[relation])
        ties = list(set(tie[group[~held[group]]].tolist()))
        size = int(sizes[ties].sum())
        if size > left:
            continue
        for number in ties:
            facts = members[starts[number] : starts[number] + sizes[number]]
            held[facts] = True
            got += np.bincount(codes.relation[facts], minlength=relations)
        left -= size
    return held


def tied_subjects(codes: FactCodes) -> IntArray:
    """Number the facts that must be infused or held back together: (facts,).

    Facts of one subject are tied, and those of two subjects that are each an object of the other.
    """
    forward = codes.subject * codes.names + codes.object
    backward = codes.object * codes.names + codes.subject
    mutual = np.isin(forward, backward)
    names, node = np.unique(np.concatenate([codes.subject, codes.object]), return_inverse=True)
    subject, obj = np.split(node, 2)
    graph = coo_array((np.ones(int(mutual.sum())), (subject[mutual], obj[mutual])), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    _, tie = np.unique(component[subject], return_inverse=True)
    return tie.astype(np.int64)
