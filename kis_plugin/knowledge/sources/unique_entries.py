"""Refuses entries that occur twice, in eight bytes of memory for each entry, however long the entries are.

The first reading keeps a hash of every entry. Only entries whose hashes agree are compared, in a second reading of the
file. So a collision of hashes refuses nothing, and ten million entries need no more memory than their hashes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from kis_plugin.knowledge.sources.text_files import Problems, quoted

__all__ = ["Rule", "yield_unique"]

T = TypeVar("T")
Place = TypeVar("Place")

_COMPARED = 1000  # suspected repetitions that are compared; further ones are only counted


@dataclass(frozen=True)
class Rule(Generic[T]):
    """What may occur only once.

    Attributes:
        name: Its name in messages: ``triple``.
        key: Returns what must be unique.
        shown: Returns how an error quotes the entry.
        suffix: Added to the line in an error.
    """

    name: str
    key: Callable[[T], Hashable]
    shown: Callable[[T], str]
    suffix: str = ""


def yield_unique(
    read: Callable[[Problems], Iterator[tuple[Place, T]]],
    rules: Sequence[Rule[T]],
    problems: Problems,
    spot: Callable[[Place], tuple[str, str]],
    nothing: tuple[str, str],
) -> Iterator[T]:
    """Yield the entries of ``read``, and raise at the end everything that was wrong with them.

    Args:
        read: Yields entries with their positions and adds problems; called a second time if two hashes agree.
        rules: What must be unique; after the first violation the later rules are not checked for that entry.
        problems: Collects what ``read`` finds wrong.
        spot: Returns for a position its name in errors, and the phrase for "the first is ...".
        nothing: What was found and what was expected if there is no entry at all.

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
    """Return the numbers of the entries to compare, and how many further suspects there are."""
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
    """Return the positions, in the piece of ``hashes`` that begins at ``start``, of any of ``among`` (sorted)."""
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
    """Read again, and add repetitions to the other problems, in the order of the file."""
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
