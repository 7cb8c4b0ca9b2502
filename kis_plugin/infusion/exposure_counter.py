"""Counts what the model was really shown, from the token ids it was given."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kis_plugin.hashing import IntArray
from kis_plugin.infusion.plan import InfusionPlan
from kis_plugin.infusion.substring_hashes import HashFilter, SubstringHashes

__all__ = ["ExposureCounter", "Match"]

_KEY = 8  # tokens by which texts are looked for; shorter texts make it shorter


class _Announced(NamedTuple):
    """A text that is expected in a batch to come; with placement ``rows``, all texts of a row as one."""

    row: int
    numbers: npt.NDArray[np.integer]
    """Of its texts."""
    key: int
    """Hash of its first tokens."""
    whole: tuple[int, int]
    """Its length, and the hash of all of it."""


class Match(NamedTuple):
    """A planned text that was found in a batch."""

    row: int
    """The row of the run that it was planned for."""
    numbers: npt.NDArray[np.integer]
    """Of the text; with placement ``rows``, of all texts of the row."""
    batch_row: int
    """The row of the batch that it was found in."""
    place: int
    """Its first token there."""
    length: int
    """Its tokens."""


class ExposureCounter:
    """Exposures per item, counted when planned tokens reach the model in a row, and only then.

    Rows are announced when the loader fetches them. The loader may fetch ahead, skip, or never use what it fetched:
    nothing counts until a batch with the very same tokens has gone through the model. The cost of a batch does not
    depend on how many rows are announced, and announcements that are never used are dropped once training is far
    beyond them.

    Args:
        plan: Says what tokens a row should hold.

    Attributes:
        exposures: (items,) so far.
    """

    def __init__(self, plan: InfusionPlan) -> None:
        self._plan = plan
        self._key = min(_KEY, int(np.diff(plan.texts.offsets).min(initial=_KEY)))
        self._waiting: dict[tuple[int, int], deque[_Announced]] = {}  # by length and hash; equal ones in their order
        self._lengths: dict[int, dict[int, int]] = {}  # by key: how many are waiting of each length
        self._filter = HashFilter()  # of the keys
        self._in_order: deque[_Announced] = deque()  # all announcements as they came, counted ones among them
        self._announced, self._seen, self._ahead = -1, -1, 0  # rows: the last ones, and how far the loader was ahead
        self.exposures: IntArray = np.zeros(len(plan), dtype=np.int64)

    def __len__(self) -> int:
        """Return how many announcements are kept."""
        return len(self._in_order)

    def expect(self, rows: Sequence[int]) -> None:
        """Note rows that the loader is about to fetch."""
        for row in rows:
            numbers = self._plan.texts_in(row)
            if numbers is None:
                continue
            if self._announced < 0:  # a resumed run begins anywhere
                self._seen = row
            self._announced = max(self._announced, row)
            for part in np.split(numbers, len(numbers)) if self._plan.placement.anywhere else [numbers]:
                self._announce(row, part)

    def see(self, input_ids: npt.NDArray[np.int64]) -> list[Match]:
        """Count the infused texts of a batch, (rows, T), and return them."""
        matches: list[Match] = []
        if not self._waiting or input_ids.shape[1] < self._key:
            return matches
        self._ahead = max(self._ahead, self._announced - self._seen)
        hashes = SubstringHashes(input_ids)
        keys = hashes.all(self._key) if self._plan.placement.anywhere else hashes.at_start(self._key)  # (rows, places)
        counted_to = [0] * len(input_ids)  # in each row: a text is not looked for inside another
        for row, place in np.argwhere(self._filter.may_hold(keys)).tolist():
            if place >= counted_to[row]:
                match = self._count(input_ids[row], hashes, row, place, int(keys[row, place]))
                if match is not None:
                    matches.append(match)
                    counted_to[row] = place + match.length
        self._drop_abandoned()
        return matches

    def _announce(self, row: int, numbers: npt.NDArray[np.integer]) -> None:
        tokens = self._plan.tokens(numbers)
        hashes = SubstringHashes(tokens[None, :])
        key, whole = hashes.of(0, 0, np.array([self._key, len(tokens)])).tolist()
        announced = _Announced(row, numbers, key, (len(tokens), whole))
        if key not in self._lengths:
            self._lengths[key] = {}
            self._filter.add(key)
        lengths = self._lengths[key]
        lengths[len(tokens)] = lengths.get(len(tokens), 0) + 1
        self._waiting.setdefault(announced.whole, deque()).append(announced)
        self._in_order.append(announced)

    def _count(
        self, ids: npt.NDArray[np.int64], hashes: SubstringHashes, row: int, place: int, key: int
    ) -> Match | None:
        """Count the text that stands at ``place`` of a row, (T,), and return it; None if none is expected."""
        room = len(ids) - place
        # Of two texts that fit, one begins with the other: the longer one is meant.
        lengths = np.array(sorted((n for n in self._lengths.get(key, ()) if n <= room), reverse=True), dtype=np.int64)
        for whole in zip(lengths.tolist(), hashes.of(row, place, lengths).tolist(), strict=True):
            waiting = self._waiting.get(whole)
            if waiting is None:
                continue
            announced = waiting[0]
            if np.array_equal(self._plan.tokens(announced.numbers), ids[place : place + whole[0]]):
                self.exposures[announced.numbers % len(self._plan)] += 1
                self._seen = max(self._seen, announced.row)
                self._forget(announced)
                return Match(announced.row, announced.numbers, row, place, int(whole[0]))
        return None

    def _drop_abandoned(self) -> None:
        """Drop announcements of rows that training has left far behind.

        Rows are trained on in the order of their numbers, except that a loader may hand out batches of its workers in
        another order. None of those lags by more than the loader was ever ahead; the limit is twice that.
        """
        last = self._seen - 2 * self._ahead
        while self._in_order:
            first = self._in_order[0]
            waiting = self._waiting.get(first.whole)
            # Equal texts wait in the order in which they came: the oldest of all waits in front, or was counted.
            if waiting and waiting[0] is first:
                if first.row >= last:
                    break
                self._forget(first)
            self._in_order.popleft()

    def _forget(self, announced: _Announced) -> None:
        """Take out an announcement, the first of its equals."""
        waiting = self._waiting[announced.whole]
        waiting.popleft()
        if not waiting:
            del self._waiting[announced.whole]
        lengths = self._lengths[announced.key]
        lengths[announced.whole[0]] -= 1
        if not lengths[announced.whole[0]]:
            del lengths[announced.whole[0]]
        if not lengths:
            del self._lengths[announced.key]
            self._filter.remove(announced.key)
