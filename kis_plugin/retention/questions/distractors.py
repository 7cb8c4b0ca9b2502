"""Balanced sets of answer options for multiple-choice probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.balanced_groups import evenly, groups_by_relation
from kis_plugin.knowledge.fact_codes import MANY, coded, sample
from kis_plugin.knowledge.facts import Fact
from kis_plugin.storage.unicode_forms import folded

__all__ = ["OptionSet", "OptionSets", "option_sets"]
_OVERSAMPLING = 8  # times as many facts are grouped as are probed, where there are many


@dataclass(frozen=True)
class OptionSet:
    """Facts of one relation with distinct objects; no object of one is true of the subject of another.

    Attributes:
        relation: The relation of all of them.
        facts: Their indices. The options are their objects in this order, so option ``i`` is right for ``facts[i]``.
    """

    relation: str
    facts: tuple[int, ...]


@dataclass(frozen=True)
class OptionSets:
    """The sets to probe.

    Attributes:
        sets: In order of their relations' names; no fact is in two of them.
        left_out: Relations of which no set can be formed, with the reason.
        among: Indices of facts that may be probed without a set, sorted.
    """

    sets: tuple[OptionSet, ...]
    left_out: Mapping[str, str]
    among: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def option_sets(facts: Sequence[Fact], among: IntArray, options: int, limit: int, seed: int) -> OptionSets:
    """Form balanced option sets.

    Every fact of a set is probed with the same options, so each option is right exactly once, and guessing by the
    frequency of objects gains nothing.

    Args:
        facts: All facts, probed or not: an object that is true of a subject by any of them is no wrong option for it.
        among: Indices of the facts that may be probed.
        options: Options of a question, ``k``; 2 or more.
        limit: The most facts to probe, spread over relations in proportion to what can be probed.
        seed: Chooses among equals.

    Of more than ``MANY`` facts that may be probed, a seeded sample is grouped, evenly spread over them.

    Returns:
        The sets. Without ``limit`` they hold as many facts as distinct objects allow: of an object that occurs in
        more facts than there are sets, the surplus is left out.
    """
    if not len(among):
        return OptionSets((), {})
    codes = coded(facts)
    if len(among) > MANY:
        among = among[sample(len(among), max(MANY // 4, _OVERSAMPLING * limit), seed, len(among))]
    # Of the facts that are not probed only those about the same subjects matter, since they make options true.
    places = np.flatnonzero(codes.mask(codes.subject[among])[codes.subject])
    groups, left_out = groups_by_relation(codes.at(places), np.searchsorted(places, among), options, seed)
    relation_of = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    grouped = np.concatenate(groups)  # (sets, k)
    picks = evenly(len(grouped), limit // options, seed)
    sets = zip(relation_of[picks].tolist(), places[grouped[picks]].tolist(), strict=True)
    chosen = [OptionSet(codes.relations[number], tuple(group)) for number, group in sets]
    return OptionSets(tuple(each for each in chosen if not _share_a_name(facts, each)), left_out)


def _share_a_name(facts: Sequence[Fact], chosen: OptionSet) -> bool:
    """Return whether two objects have a name or alias in common, so that a wrong option would be right."""
    some = [facts[index] for index in chosen.facts]
    names = [{folded(name) for name in (fact.object, *fact.aliases)} for fact in some]
    return sum(map(len, names)) > len(set().union(*names))
