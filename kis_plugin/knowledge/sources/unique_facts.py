"""Nothing twice: told in eight bytes an entry, however long the entries are.

Hashes say what may have been there before; only those entries are read again, and compared as they stand in the file.
So nothing is refused that is not there twice, and ten million entries need no more than their hashes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from kis_plugin.knowledge.sources.text_files import Problems, quoted

__all__ = ["Rule", "once_each"]

T = TypeVar("T")
Place = TypeVar("Place")

_COMPARED = 1000  # suspects compared with their firsts; of more the rest are only counted


@dataclass(frozen=True)
class Rule(Generic[T]):
    """What there may be once.

    Attributes:
        name: What it is called: ``triple``.
        key: What must differ.
        shown: How an error quotes it.
        suffix: What an error adds to the line.
    """

    name: str
    key: Callable[[T], Hashable]
    shown: Callable[[T], str]
    suffix: str = ""


def once_each(
    read: Callable[[Problems], Iterator[tuple[Place, T]]],
    rules: Sequence[Rule[T]],
    problems: Problems,
    spot: Callable[[Place], tuple[str, str]],
    nothing: tuple[str, str],
) -> Iterator[T]:
    """Yield what ``read`` gives, and refuse in the end whatever was wrong with any of it.

    Args:
        read: Yields entries with their places, and notes problems; called a second time if two hashes agree.
        rules: What there may be once; an entry that breaks one is not held to those after it.
        problems: Where ``read`` notes what is wrong.
        spot: Returns what errors call a place, and how they say that the first was there.
        nothing: What is found and expected if there is no entry at all.

    Raises:
        KISError: Everything wrong, in the order of the file, after the last entry.
    """
    seen = [array("q") for _ in rules]
    notes = [(hashes.append, rule.key) for hashes, rule in zip(seen, rules, strict=True)]
    for _, item in read(problems):
        for note, key in notes:
            note(hash(key(item)))
        yield item
    if not len(seen[0]) and not len(problems):
        problems.add(str(problems.path), *nothing)
    suspects, more = _suspects([np.frombuffer(hashes, dtype=np.int64) for hashes in seen])
    if suspects:
        problems = _compared(read, rules, Problems(problems.path), spot, suspects)
        problems.count(more)
    problems.raise_any()


def _suspects(seen: Sequence[npt.NDArray[np.int64]]) -> tuple[set[int], int]:
    """Return the numbers of entries to compare, and how many more there are that repeat something."""
    compared: set[int] = set()
    more = 0
    for hashes in seen:
        ordered = np.sort(hashes)
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        del ordered
        if not len(twice):
            continue
        numbers = np.concatenate([_places(hashes, start, twice) for start in range(0, len(hashes), 1 << 20)])
        _, first, group = np.unique(hashes[numbers], return_index=True, return_inverse=True)
        again = np.setdiff1d(np.arange(len(numbers)), first)
        for number in again[:_COMPARED].tolist():
            compared |= {int(numbers[number]), int(numbers[first[group[number]]])}
        more += max(len(again) - _COMPARED, 0)
    return compared, more


def _places(hashes: npt.NDArray[np.int64], start: int, among: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where in a piece of ``hashes`` from ``start`` on stands one of ``among``, which is sorted."""
    piece = hashes[start : start + (1 << 20)]
    near = among[np.minimum(np.searchsorted(among, piece), len(among) - 1)]
    return np.flatnonzero(near == piece) + start


def _compared(
    read: Callable[[Problems], Iterator[tuple[Place, T]]],
    rules: Sequence[Rule[T]],
    problems: Problems,
    spot: Callable[[Place], tuple[str, str]],
    suspects: set[int],
) -> Problems:
    """Read again and note what is there twice, among all else that is wrong."""
    firsts: list[dict[Any, Place]] = [{} for _ in rules]
    for number, (place, item) in enumerate(read(problems)):
        if number not in suspects:
            continue
        for rule, first in zip(rules, firsts, strict=True):
            key = rule.key(item)
            if key in first:
                found = f"{quoted(rule.shown(item))} a second time"
                expected = f"each {rule.name} once; the first is {spot(first[key])[1]}"
                problems.add(f"{spot(place)[0]}{rule.suffix}", found, expected)
                break
            first[key] = place
    return problems
