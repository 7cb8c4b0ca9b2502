"""Facts that chain, asked about as one: of (Ann, born in, Rome) and (Rome, lies in, Italy) who is to say Italy."""

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
from kis_plugin.retention.aliases import OtherNamesProbe, other_names
from kis_plugin.retention.probes import Question, QuestionMaker
from kis_plugin.tokenized.infusion_split import entries_at

__all__ = ["TWO_HOP", "Chains", "TwoHopProbe", "chains_of", "chains_to_ask"]

TWO_HOP = "two_hop"

_WAYS = 32  # first facts that a subject has in a relation; of more it is asked nothing by way of them
_PAIRS = 512  # pairs of relations that are dealt; of more the commonest
_SEED = 59

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Chains:
    """Pairs of facts, the second about the object of the first.

    Attributes:
        first: (chains,) places of facts.
        second: (chains,)
    """

    first: IntArray
    second: IntArray

    def at(self, places: IntArray) -> Chains:
        """Return some of them."""
        return Chains(self.first[places], self.second[places])


class TwoHopProbe:
    """A probe kind that asks for the object of a second fact by the subject of a first: at most as many as facts.

    The sentence is made of the relations' nouns, whatever their templates.
    """

    name = TWO_HOP
    balanced = False
    """It makes option sets of its own."""

    def questions(self, maker: QuestionMaker) -> list[Question]:
        """Return the questions of balanced sets of chains, both of whose facts are told; none if nothing is told."""
        if maker.told is None:
            return []
        sets = chains_to_ask(maker.facts, maker.told, maker.holding, maker.options, maker.limit, maker.seed)
        questions: list[Question] = []
        for first, second in sets:
            questions += _questions(maker, first.tolist(), second.tolist(), len(maker.facts) + len(questions))
        if not questions:
            maker.notes.append(
                f"warning: series {self.name}: nothing is asked: no {maker.options} chains of told facts, of the same "
                "two relations, lead to distinct objects that no single fact tells"
            )
        return questions


def _questions(maker: QuestionMaker, first: list[int], second: list[int], number: int) -> Iterator[Question]:
    """Yield the questions of one set, the first of them about chain ``number``."""
    begin, end = ([maker.facts[place] for place in places] for places in (first, second))
    noun, onward = (maker.noun_of(facts[0].relation) for facts in (begin, end))
    mates = tuple(range(number, number + len(begin)))
    options = tuple(f"{fact.object}." for fact in end)
    relation = f"{begin[0].relation}.{end[0].relation}"
    for answer, fact in enumerate(begin):
        prefix = f"The {onward} of the {noun} of {fact.subject} is "
        yield Question(mates[answer], prefix, options, answer, TWO_HOP, relation, mates, TWO_HOP)


def chains_to_ask(
    facts: Sequence[Fact], told: IntArray, holding: IntArray | None, options: int, limit: int, seed: int
) -> list[tuple[IntArray, IntArray]]:
    """Form balanced sets of chains of two relations, no object of one true for the subject of another.

    A chain goes by one name of its middle. What is true goes by aliases too, and an alias is no object beside its own.

    Args:
        facts: All facts.
        told: Places of those that chains are made of.
        holding: Places of those that make a wrong option true; None for all.
        options: Chains of a set.
        limit: Chains at most, spread over pairs of relations in proportion to what can be asked.
        seed: Chooses among equals.

    Returns:
        The first and the second facts of each set, (options,) each.
    """
    codes = coded(facts)
    chains = chains_of(codes, told, seed)
    names = _names_around(facts, codes, chains)
    if names is not None:
        chains = chains.at(np.flatnonzero(~names.doubtful[codes.object[chains.first]]))
        codes = names.merged(codes)
    truth = _Truth(codes, np.arange(len(codes.subject)) if holding is None else holding, chains)
    chains = chains.at(np.flatnonzero(truth.askable(chains)))
    pair = np.asarray(codes.relation[chains.first], dtype=np.int64) * len(codes.relations)
    pair += codes.relation[chains.second]
    pairs, group, count = np.unique(pair, return_inverse=True, return_counts=True)
    common = np.sort(np.argsort(-count, kind="stable")[:_PAIRS])
    objects = np.asarray(codes.object[chains.second], dtype=np.int64)
    dealt = [np.empty((0, options), dtype=np.int64)]
    for number in common.tolist():
        pool = np.flatnonzero(group == number)
        if len(np.unique(objects[pool])) >= options:
            shared = partial(truth.shared, chains, int(pairs[number]) % len(codes.relations))
            dealt.append(balanced_groups(objects, pool, options, mix(seed, _SEED, number), shared))
    groups = np.concatenate(dealt)
    return [(chains.first[one], chains.second[one]) for one in groups[evenly(len(groups), limit // options, seed)]]


def _names_around(facts: Sequence[Fact], codes: FactCodes, chains: Chains) -> OtherNamesProbe | None:
    """Return what aliases say; of very many facts, those about the subjects and the middles of chains."""
    places = np.arange(len(codes.subject))
    if len(places) > MANY:
        about = np.concatenate([codes.subject[chains.first], codes.object[chains.first]])
        places = np.flatnonzero(codes.mask(about)[codes.subject])
    return other_names(codes, places.tolist(), entries_at(facts, places))


def chains_of(codes: FactCodes, told: IntArray, seed: int) -> Chains:
    """Chain told facts, each pair of ends once; of more than ``MANY`` chains an even sample."""
    subject, obj = codes.subject, codes.object
    begins = told[codes.mask(subject[told])[obj[told]]]
    begins = begins[sample(len(begins), MANY, seed, _SEED, 1)]
    ends = told[codes.mask(obj[begins])[subject[told]]]
    ends = ends[np.argsort(subject[ends], kind="stable")]
    first, counts = _found(np.asarray(subject[ends], dtype=np.int64), np.asarray(obj[begins], dtype=np.int64))
    until = np.cumsum(counts)
    picks = sample(int(counts.sum()), MANY, seed, _SEED, 2)
    which = np.searchsorted(until, picks, side="right")
    chains = Chains(begins[which], ends[first[which] + picks - (until - counts)[which]])
    columns = (codes.relation[chains.first], codes.relation[chains.second], subject[chains.first], obj[chains.second])
    _, once = np.unique(np.stack(columns), axis=1, return_index=True)
    return chains.at(np.sort(once))


class _Truth:
    """What is true of the subjects of some chains, by one fact or by two.

    Args:
        codes: All facts.
        holding: Places of the facts that count.
        chains: Whose subjects are asked about.
    """

    def __init__(self, codes: FactCodes, holding: IntArray, chains: Chains) -> None:
        self._codes = codes
        of_subjects = codes.at(holding[codes.mask(codes.subject[chains.first])[codes.subject[holding]]])
        self._direct = np.unique(of_subjects.subject * codes.names + of_subjects.object)
        keys = of_subjects.relation * codes.names + of_subjects.subject
        order = np.argsort(keys, kind="stable")
        self._ways, self._middle = keys[order], of_subjects.object[order]
        onward = codes.at(holding[codes.mask(self._middle)[codes.subject[holding]]])
        self._onward: dict[int, IntArray] = {}
        for relation in np.unique(codes.relation[chains.second]).tolist():
            some = onward.relation == relation
            self._onward[relation] = np.unique(onward.subject[some] * codes.names + onward.object[some])

    def askable(self, chains: Chains) -> BoolArray:
        """Return which chains are no circles, join what no single fact joins, and begin as few others do: (chains,)."""
        subject = np.asarray(self._codes.subject[chains.first], dtype=np.int64)
        middle = np.asarray(self._codes.object[chains.first], dtype=np.int64)
        obj = np.asarray(self._codes.object[chains.second], dtype=np.int64)
        # A circle holds its answer: the country of the capital of Italy.
        apart = (subject != middle) & (middle != obj) & (subject != obj)
        _, ways = _found(self._ways, self._codes.relation[chains.first] * self._codes.names + subject)
        askable: BoolArray = apart & (ways <= _WAYS)
        return askable & ~_is_in(subject * self._codes.names + obj, self._direct)

    def shared(self, chains: Chains, relation: int, groups: IntArray) -> BoolArray:
        """Return for each group of chains whether an object is true for another's subject, by whatever middle.

        Args:
            chains: All chains.
            relation: Of the second facts of those in the groups.
            groups: (groups, k) places in ``chains``.
        """
        codes, flat = self._codes, groups.reshape(-1)
        begins = chains.first[flat]
        first, ways = _found(self._ways, codes.relation[begins] * codes.names + codes.subject[begins])
        row = np.repeat(np.arange(len(flat)), ways)  # (ways of all,) whose way it is
        within = np.arange(len(row)) - np.repeat(np.cumsum(ways) - ways, ways)
        middle = self._middle[first[row] + within]
        size = groups.shape[1]
        objects = np.asarray(codes.object[chains.second[groups]], dtype=np.int64)[row // size]  # (ways of all, k)
        hits = _is_in(middle[:, None] * codes.names + objects, self._onward[relation])
        hits[np.arange(len(row)), row % size] = False  # the right answers
        return np.bincount(row // size, weights=hits.any(axis=1), minlength=len(groups)) > 0


def _found(ordered: IntArray, keys: IntArray) -> tuple[IntArray, IntArray]:
    """Return where each key begins among sorted ones, and how often it is there."""
    first = np.searchsorted(ordered, keys)
    return first, np.searchsorted(ordered, keys, side="right") - first


def _is_in(keys: IntArray, ordered: IntArray) -> BoolArray:
    """Return whether each key is among sorted ones, in the shape of ``keys``."""
    if not len(ordered):
        return np.zeros(keys.shape, dtype=np.bool_)
    found: BoolArray = ordered[np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)] == keys
    return found
