"""Control facts: of the same kind as the infused ones, never infused, evaluated in the same way.

Their accuracy must stay at chance. If it rises, the base text states the facts, or infused facts give them away.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kis_plugin.errors import KISError, Problem
from kis_plugin.escapes import escaped
from kis_plugin.hashing import IntArray, mix
from kis_plugin.knowledge.balanced_groups import HANDFUL, fitting_options, groups_by_relation
from kis_plugin.knowledge.fact_codes import MANY, FactCodes, coded, sample
from kis_plugin.knowledge.facts import Fact

__all__ = ["MOST", "split_control", "tied_subjects"]

MOST = 1 / 5
"""Controls are at most this part of the facts: a fact that is held back is not infused."""

_WHERE = "retention.control"
_SEED = 0x636F6E74
_SPARE = 20  # facts sampled per control wanted, where there are many facts
_ROUNDS = 50  # links followed from one subject to another


def split_control(facts: Sequence[Fact], count: int, seed: int, options: int = 4) -> tuple[IntArray, IntArray]:
    """Choose the facts that are never infused.

    Whole subjects are held back, together with every subject that states the reverse of one of their facts: ``Paris``
    with ``France`` where there are both ``capital`` and ``capital of``. Otherwise infused facts would give the answers
    away. Controls are taken in balanced groups of ``options`` facts, so that they can serve as each other's answer
    options, each time from the relation that lacks most of its proportional part of ``count``. Of more than ``MANY``
    facts only a seeded sample of subjects is considered, evenly spread, with all subjects linked to it.

    Args:
        facts: All facts.
        count: Approximate number of controls, never exceeded and at most a fifth of the facts; 0 for none.
        seed: The same seed gives the same split on every platform and in every release.
        options: Answer options of a question.

    Returns:
        Indices of the infused facts and of the control facts, both sorted.

    Raises:
        KISError: Not even one group of ``options`` facts can be held back. Of up to ``HANDFUL`` facts none are held
            back then, with a warning.
    """
    everything = np.arange(len(facts), dtype=np.int64)
    if not count or not len(facts):
        return everything, np.empty(0, dtype=np.int64)
    limit = min(count, int(len(facts) * MOST))
    hint = f"Set {_WHERE}: 0 to infuse every fact, without a check for leaks."
    if len(facts) <= HANDFUL and count >= options:
        return _of_a_handful(facts, limit, seed, options)
    if limit < options:
        found = f"{count} controls wanted of {len(facts)} facts"
        expected = f"at least {options} controls and {int(options / MOST)} facts (a fifth may be held back)"
        raise KISError(Problem(_WHERE, found, expected, hint))
    control = _controls(coded(facts), limit, mix(seed, _SEED), options)
    if not len(control):
        expected = f"{options} facts of one relation with distinct objects, to hold back at most {limit} facts"
        raise KISError(Problem(_WHERE, "none among those that can be held back together", expected, hint))
    return np.delete(everything, control), control


def _of_a_handful(facts: Sequence[Fact], limit: int, seed: int, options: int) -> tuple[IntArray, IntArray]:
    """Hold back what can be held back of a few facts, and say so where that is nothing."""
    codes = coded(facts)
    everything = np.arange(len(facts), dtype=np.int64)
    options = fitting_options(codes, everything, options, seed)
    control = _controls(codes, limit, mix(seed, _SEED), options) if limit >= options else everything[:0]
    if not len(control):
        too_few = (
            f"{len(facts)} facts are too few to hold any back as controls (at most a fifth, {options} of one relation "
            "with distinct objects): nothing will show whether the base text already states them"
        )
        warnings.warn(escaped(too_few), stacklevel=2)
    return np.delete(everything, control), control


def _controls(codes: FactCodes, limit: int, seed: int, options: int) -> IntArray:
    """Return the indices of the controls, sorted."""
    size = max(MANY // 4, _SPARE * limit)
    if len(codes.subject) <= max(MANY, size):
        return np.flatnonzero(_hold_back(codes, limit, seed, options))
    # A sample of the facts, closed under links: a subject whose links lead out of it could leak, so it is not used.
    inside, open_ends = _with_linked(codes, sample(len(codes.subject), size, seed))
    places = np.flatnonzero(inside[codes.subject] & ~open_ends[codes.subject])
    return places[_hold_back(codes.at(places), limit, seed, options)]


def _with_linked(codes: FactCodes, chosen: IntArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which subjects are those of the ``chosen`` facts or linked to them, and which lead on to still others.

    Both (names,). The second are subjects from which more than ``_ROUNDS`` links lead on, one after the other.
    """
    inside = codes.mask(codes.subject[chosen])
    for _ in range(_ROUNDS):
        # Two subjects are linked if each is the object of a fact about the other. ``forward`` are all facts about
        # subjects inside, ``backward`` those about their objects that may point back.
        forward = codes.at(np.flatnonzero(inside[codes.subject]))
        backward = codes.at(np.flatnonzero(inside[codes.object] & codes.mask(forward.object)[codes.subject]))
        mutual = np.isin(
            forward.subject * codes.names + forward.object, backward.object * codes.names + backward.subject
        )
        ends = forward.object[mutual]
        outside = ends[~inside[ends]]
        if not len(outside):
            return inside, np.zeros_like(inside)
        inside[outside] = True
    # The chain is longer than the rounds: whatever is linked to its open end must not become a control.
    component = tied_subjects(forward)
    reaches_end = np.isin(component, component[mutual & codes.mask(outside)[forward.object]])
    return inside, codes.mask(np.concatenate([forward.subject[reaches_end], outside]))


def _hold_back(codes: FactCodes, limit: int, seed: int, options: int) -> npt.NDArray[np.bool_]:
    """Return for each fact whether it is a control: (facts,)."""
    tie = tied_subjects(codes)
    members = np.argsort(tie, kind="stable")
    sizes = np.bincount(tie)
    starts = np.cumsum(sizes) - sizes
    groups, _ = groups_by_relation(codes, np.arange(len(tie)), options, seed)
    relations = len(groups)
    wanted = limit * np.bincount(codes.relation, minlength=relations) / len(tie)  # (relations,): proportional parts
    got = np.zeros(relations)
    following = np.zeros(relations, dtype=np.int64)  # the next group of each relation
    held = np.zeros(len(tie), dtype=np.bool_)
    left = limit
    spent = np.array([len(group) == 0 for group in groups])
    # Greedy: always the next group of the relation that is furthest below its part. A group brings all facts of its
    # subjects along, of other relations too, so ``got`` is counted after the fact.
    while left >= options and not spent.all():
        relation = int(np.argmax(np.where(spent, -np.inf, wanted - got)))
        group = groups[relation][following[relation]]
        following[relation] += 1
        spent[relation] = following[relation] == len(groups[relation])
        ties = list(set(tie[group[~held[group]]].tolist()))
        size = int(sizes[ties].sum())
        if size > left:  # subjects with many facts: a later group may still fit
            continue
        for number in ties:
            facts = members[starts[number] : starts[number] + sizes[number]]
            held[facts] = True
            got += np.bincount(codes.relation[facts], minlength=relations)
        left -= size
    return held


def tied_subjects(codes: FactCodes) -> IntArray:
    """Number the facts that must be infused or held back together: (facts,), equal numbers together.

    These are the facts of one subject, and of subjects that are each the object of a fact about the other.
    """
    forward = codes.subject * codes.names + codes.object
    backward = codes.object * codes.names + codes.subject
    mutual = np.isin(forward, backward)
    # Names as nodes, mutual facts as edges: what must stay together is a connected component.
    names, node = np.unique(np.concatenate([codes.subject, codes.object]), return_inverse=True)
    subject, obj = np.split(node, 2)
    graph = coo_array((np.ones(int(mutual.sum())), (subject[mutual], obj[mutual])), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    _, tie = np.unique(component[subject], return_inverse=True)
    return tie.astype(np.int64)
