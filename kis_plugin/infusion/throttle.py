"""What a throttle leaves of the rounds: some rounds stay whole, so that all items go on being shown equally often."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray, mix
from kis_plugin.infusion.rounds.round_sequence import RoundSequence

__all__ = ["Kept", "remaining", "removed_exposures"]


@dataclass(frozen=True)
class Kept:
    """What one throttle leaves of a round sequence: the slots before ``first``, and of those after it some rounds.

    Attributes:
        first: The first slot that the throttle applies to.
        rounds: (rounds,) whether a round is still shown.
    """

    first: int
    rounds: npt.NDArray[np.bool_]

    def holds(self, sequence: RoundSequence, slot: int) -> bool:
        """Return whether a slot is still shown."""
        return slot < self.first or bool(self.rounds[sequence.round_of(slot)])


def remaining(sequence: RoundSequence, first: int, keep: float, before: Sequence[Kept]) -> Kept:
    """Choose what is still shown of a round sequence from slot ``first`` on.

    The round that ``first`` lies in goes on to its end, so that all items have had it. Of the n whole rounds after it
    that earlier throttles left, ⌊keep (n + 1)⌋ stay, one in each of as many equal stretches; a round of extra exposures
    that is still to come is left out. Of r exposures that an item had left, it therefore keeps at least keep r - 1 and
    at most keep r + 1. With ``keep`` 0 nothing is shown from ``first`` on, with 1 everything is.

    Args:
        sequence: The rounds of some items.
        first: The first slot that is not made yet.
        keep: From 0 to 1.
        before: What earlier throttles left of it.
    """
    rounds = np.full(sequence.rounds, keep >= 1)
    if first >= sequence.slots or keep in (0, 1):
        return Kept(first, rounds)
    now = sequence.round_of(first)
    begun = first > sequence.first_slot(now)
    left = [
        number
        for number in range(now + begun, sequence.rounds)
        if number != sequence.extra_round and all(kept.rounds[number] for kept in before)
    ]
    stay = math.floor(Fraction(str(keep)) * (len(left) + 1))  # exact: 0.1 is a tenth
    for part in range(stay):
        # Anywhere in its stretch, by hash: templates take turns, and with a fixed step the same one would always stay.
        start, stop = part * len(left) // stay, (part + 1) * len(left) // stay
        rounds[left[start + mix(*sequence.key, 9, first, part) % (stop - start)]] = True
    if begun:
        rounds[now] = True
    return Kept(first, rounds)


def removed_exposures(sequence: RoundSequence, kept: Sequence[Kept], items: int) -> IntArray:
    """Return how many exposures of each item throttles take away: (items,).

    Args:
        sequence: The rounds of some items.
        kept: What each throttle leaves of it, in order.
        items: Number of texts per template in the whole plan; text t belongs to ``t % items``.
    """
    removed = np.zeros(items, dtype=np.int64)
    if not kept:
        return removed
    begin = sequence.round_of(kept[0].first) if kept[0].first < sequence.slots else sequence.rounds
    for number in range(begin, sequence.rounds):
        start, stop = sequence.first_slot(number), sequence.first_slot(number + 1)
        # The first throttle that drops this round drops it from its own first slot on.
        cut = min((one.first for one in kept if not one.rounds[number]), default=stop)
        if cut <= start:  # the whole round; a round has an item once, so no index repeats
            removed[sequence.texts_of_round(number) % items] += 1
            continue
        for slot in range(cut, stop):
            removed[sequence.texts_of_slot(slot) % items] += 1
    return removed
