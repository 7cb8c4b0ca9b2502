"""Two facts that chain, probed as one: given (Ann, born in, Rome) and (Rome, lies in, Italy), the answer is Italy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray, mix
from kis_plugin.knowledge.balanced_groups import balanced_groups, evenly
from kis_plugin.knowledge.fact_codes import MANY, FactCodes, coded, sample
from kis_plugin.knowledge.facts import Fact
from kis_plugin.retention.questions.aliases import Entities, entities_of
from kis_plugin.retention.questions.question import Question
from kis_plugin.retention.questions.question_maker import QuestionMaker
from kis_plugin.tokenized.infusion_split import entries_at

__all__ = ["TWO_HOP", "Chains", "TwoHopProbe", "chains_of", "sets_of_chains"]

TWO_HOP = "two_hop"

_MAX_MIDDLES = 32  # first facts of a subject in one relation; chains of subjects with more are left out
_PAIRS = 512  # pairs of relations that are grouped into sets; of more the commonest
_SEED = 59

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Chains:
    """Pairs of facts, the second about the object of the first.

    Attributes:
        first: (chains,) indices of facts.
        second: (chains,) likewise.
    """

    first: IntArray
    second: IntArray

    def at(self, places: IntArray) -> Chains:
        """Return some of them."""
        return Chains(self.first[places], self.second[places])


class TwoHopProbe:
    """A probe kind that gives the subject of the first fact; the answer is the object of the second.

    The sentence is made of the relations' nouns, regardless of their templates. There are at most
    ``retention.probes.facts`` questions.
    """

    name = TWO_HOP
    balanced = False
    """It forms option sets itself."""

    def questions(self, maker: QuestionMaker) -> list[Question]:
        """Return the questions of balanced sets of chains, both of whose facts are infused; none if nothing is."""
        if maker.infused is None:
            return []
        sets = sets_of_chains(maker.facts, maker.infused, maker.valid, maker.options, maker.limit, maker.seed)
        questions: list[Question] = []
        for first, second in sets:
            questions += _questions(maker, first.tolist(), second.tolist(), len(maker.facts) + len(questions))
        if not questions:
            maker.notes.append(
                f"warning: series {self.name}: no questions: no {maker.options} chains of infused facts, of the same "
                "two relations, lead to distinct objects that no single fact states"
            )
        return questions


def _questions(maker: QuestionMaker, first: list[int], second: list[int], number: int) -> Iterator[Question]:
    """Yield the questions of one set, the first of them about chain ``number``."""
    begin, end = ([maker.facts[place] for place in places] for places in (first, second))
    noun, onward = (maker.noun_of(facts[0].relation) for facts in (begin, end))
    members = tuple(range(number, number + len(begin)))
    options = tuple(f"{fact.object}." for fact in end)
    relation = f"{begin[0].relation}.{end[0].relation}"
    for answer, fact in enumerate(begin):
        prefix = f"The {onward} of the {noun} of {fact.subject} is "
        yield Question(members[answer], prefix, options, answer, TWO_HOP, relation, members, TWO_HOP)


def sets_of_chains(
    facts: Sequence[Fact], infused: IntArray, valid: IntArray | None, options: int, limit: int, seed: int
) -> list[tuple[IntArray, IntArray]]:
    """Form balanced sets of chains of two relations, no object of one true of the subject of another.

    A chain connects two facts by the same name of its middle. What is true is decided by entities, whatever their
    names, and two names of one entity never stand in the same set.

    Args:
        facts: All facts.
        infused: Indices of those that chains are made of.
        valid: Indices of those that hold, and so make an option true; None for all.
        options: Chains of a set.
        limit: The most chains, spread over pairs of relations in proportion to what can be probed.
        seed: Chooses among equals.

    Returns:
        The first and the second facts of each set, (options,) each.
    """
    codes = coded(facts)
    chains = chains_of(codes, infused, seed)
    entities = _entities_around(facts, codes, chains)
    if entities is not None:
        chains = chains.at(np.flatnonzero(~entities.ambiguous[codes.object[chains.first]]))
        codes = entities.merged(codes)
    truth = _Truth(codes, np.arange(len(codes.subject)) if valid is None else valid, chains)
    chains = chains.at(np.flatnonzero(truth.suitable(chains)))
    pair = np.asarray(codes.relation[chains.first], dtype=np.int64) * len(codes.relations)
    pair += codes.relation[chains.second]
    pairs, group, count = np.unique(pair, return_inverse=True, return_counts=True)
    common = np.sort(np.argsort(-count, kind="stable")[:_PAIRS])
    objects = np.asarray(codes.object[chains.second], dtype=np.int64)
    grouped = [np.empty((0, options), dtype=np.int64)]
    for number in common.tolist():
        pool = np.flatnonzero(group == number)
        if len(np.unique(objects[pool])) >= options:
            shared = partial(truth.shared, chains, int(pairs[number]) % len(codes.relations))
            grouped.append(balanced_groups(objects, pool, options, mix(seed, _SEED, number), shared))
    groups = np.concatenate(grouped)
    return [(chains.first[one], chains.second[one]) for one in groups[evenly(len(groups), limit // options, seed)]]


def _entities_around(facts: Sequence[Fact], codes: FactCodes, chains: Chains) -> Entities | None:
    """Return the entities behind names; of very many facts, only of those about subjects and middles of chains."""
    places = np.arange(len(codes.subject))
    if len(places) > MANY:
        about = np.concatenate([codes.subject[chains.first], codes.object[chains.first]])
        places = np.flatnonzero(codes.mask(about)[codes.subject])
    return entities_of(codes, places.tolist(), entries_at(facts, places))


def chains_of(codes: FactCodes, infused: IntArray, seed: int) -> Chains:
    """Chain infused facts, each pair of ends once; of more than ``MANY`` chains an even sample."""
    subject, obj = codes.subject, codes.object
    begins = infused[codes.mask(subject[infused])[obj[infused]]]
    begins = begins[sample(len(begins), MANY, seed, _SEED, 1)]
    ends = infused[codes.mask(obj[begins])[subject[infused]]]
    ends = ends[np.argsort(subject[ends], kind="stable")]
    first, counts = _found(np.asarray(subject[ends], dtype=np.int64), np.asarray(obj[begins], dtype=np.int64))
    # Chains are numbered without being made: those of begin i are until[i] - counts[i] to until[i].
    until = np.cumsum(counts)
    picks = sample(int(counts.sum()), MANY, seed, _SEED, 2)
    which = np.searchsorted(until, picks, side="right")
    chains = Chains(begins[which], ends[first[which] + picks - (until - counts)[which]])
    columns = (codes.relation[chains.first], codes.relation[chains.second], subject[chains.first], obj[chains.second])
    _, once = np.unique(np.stack(columns), axis=1, return_index=True)
    return chains.at(np.sort(once))


class _Truth:
    """What is true of the subjects of some chains, by one fact or by two.

    A pair of names is one integer, ``first * names + second``, so that membership is a binary search in a sorted array.

    Args:
        codes: All facts.
        valid: Indices of the facts that count.
        chains: Whose subjects are probed.
    """

    def __init__(self, codes: FactCodes, valid: IntArray, chains: Chains) -> None:
        self._codes = codes
        of_subjects = codes.at(valid[codes.mask(codes.subject[chains.first])[codes.subject[valid]]])
        self._direct = np.unique(of_subjects.subject * codes.names + of_subjects.object)
        keys = of_subjects.relation * codes.names + of_subjects.subject
        order = np.argsort(keys, kind="stable")
        self._slots, self._middle = keys[order], of_subjects.object[order]
        onward = codes.at(valid[codes.mask(self._middle)[codes.subject[valid]]])
        self._onward: dict[int, IntArray] = {}
        for relation in np.unique(codes.relation[chains.second]).tolist():
            some = onward.relation == relation
            self._onward[relation] = np.unique(onward.subject[some] * codes.names + onward.object[some])

    def suitable(self, chains: Chains) -> BoolArray:
        """Return which chains can be probed: (chains,).

        They are no circles, join what no single fact joins, and their subject has few first facts.
        """
        subject = np.asarray(self._codes.subject[chains.first], dtype=np.int64)
        middle = np.asarray(self._codes.object[chains.first], dtype=np.int64)
        obj = np.asarray(self._codes.object[chains.second], dtype=np.int64)
        # A circle contains its answer: the country of the capital of Italy.
        distinct = (subject != middle) & (middle != obj) & (subject != obj)
        _, middles = _found(self._slots, self._codes.relation[chains.first] * self._codes.names + subject)
        suitable: BoolArray = distinct & (middles <= _MAX_MIDDLES)
        return suitable & ~_is_in(subject * self._codes.names + obj, self._direct)

    def shared(self, chains: Chains, relation: int, groups: IntArray) -> BoolArray:
        """Return for each group of chains whether an object is true of another's subject, by any middle.

        Args:
            chains: All chains.
            relation: Of the second facts of those in the groups.
            groups: (groups, k) indices into ``chains``.
        """
        codes, flat = self._codes, groups.reshape(-1)
        begins = chains.first[flat]
        first, ways = _found(self._slots, codes.relation[begins] * codes.names + codes.subject[begins])
        row = np.repeat(np.arange(len(flat)), ways)  # (ways,) the chain of each way
        within = np.arange(len(row)) - np.repeat(np.cumsum(ways) - ways, ways)
        middle = self._middle[first[row] + within]
        size = groups.shape[1]
        objects = np.asarray(codes.object[chains.second[groups]], dtype=np.int64)[row // size]  # (ways, k)
        hits = _is_in(middle[:, None] * codes.names + objects, self._onward[relation])
        hits[np.arange(len(row)), row % size] = False  # the right answers
        return np.bincount(row // size, weights=hits.any(axis=1), minlength=len(groups)) > 0


def _found(ordered: IntArray, keys: IntArray) -> tuple[IntArray, IntArray]:
    """Return where each key begins among sorted ones, and how often it occurs."""
    first = np.searchsorted(ordered, keys)
    return first, np.searchsorted(ordered, keys, side="right") - first


def _is_in(keys: IntArray, ordered: IntArray) -> BoolArray:
    """Return whether each key is among sorted ones, in the shape of ``keys``."""
    if not len(ordered):
        return np.zeros(keys.shape, dtype=np.bool_)
    found: BoolArray = ordered[np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)] == keys
    return found
