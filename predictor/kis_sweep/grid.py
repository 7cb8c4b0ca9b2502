"""The grid of a sweep: sizes, infusion frequencies, seeds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kis_plugin.amounts import parse_amount
from kis_plugin.errors import KISError, Problem

__all__ = ["Cell", "cells_of", "first_wave", "parse_frequencies", "parse_sizes"]

_NUMBER = r"(\d+(?:\.\d+)?)"
_RANGE = re.compile(rf"{_NUMBER}\s*\.\.\s*{_NUMBER}")


@dataclass(frozen=True, order=True)
class Cell:
    """One run of the grid.

    Attributes:
        size: N that was asked for; the shape's own is near it.
        frequency: Infusion frequency F.
        seed: Of everything in the run.
    """

    size: int
    frequency: float
    seed: int


def parse_sizes(text: str) -> list[int]:
    """Read ``1M,3M,10M``.

    Raises:
        KISError: What is no amount, or comes twice.
    """
    problems, sizes = [], []
    for part in text.split(","):
        try:
            sizes.append(parse_amount(part))
        except ValueError as error:
            problems.append(Problem("--sizes", repr(part.strip()), str(error)))
    if len(set(sizes)) < len(sizes):
        problems.append(Problem("--sizes", text, "each size once"))
    if problems:
        raise KISError(problems)
    return sorted(sizes)


def parse_frequencies(text: str, points: int, where: str = "--frequency") -> list[float]:
    """Read ``4..4096``, evenly spaced on the log scale and rounded to whole exposures, or ``0,16,64``, or both.

    Args:
        text: Ranges and numbers, parted by commas.
        points: How many of a range, its ends included.
        where: What errors call it.

    Returns:
        Sorted, each once.

    Raises:
        KISError: What is neither, or a range that is none.
    """
    problems: list[Problem] = []
    found: set[float] = set()
    for part in text.split(","):
        span = _RANGE.fullmatch(part.strip())
        if span:
            low, high = float(span[1]), float(span[2])
            if not 1 <= low < high <= 1e15:
                problems.append(Problem(where, repr(part.strip()), "a range such as 4..4096 that begins at 1 or above"))
                continue
            found |= set(np.geomspace(low, high, points).round().tolist())
        elif re.fullmatch(_NUMBER, part.strip()) and float(part) <= 1e15:
            found.add(float(part))
        else:
            problems.append(Problem(where, repr(part.strip()), "exposures per fact, such as 64, or a range, 4..4096"))
    if problems:
        raise KISError(problems)
    return sorted(found)


def cells_of(sizes: Sequence[int], frequencies: Sequence[float], seeds: int) -> list[Cell]:
    """Return the full grid.

    Every cell has seed 0. The others repeat the upper half of the frequencies, where retention peaks and falls: the
    rise below is told by its neighbours.
    """
    infused = [frequency for frequency in frequencies if frequency > 0]
    upper = set(infused[len(infused) // 2 :])
    return [
        Cell(size, frequency, seed)
        for size in sizes
        for frequency in frequencies
        for seed in range(seeds if frequency in upper else 1)
    ]


def first_wave(frequencies: Sequence[float], count: int) -> list[float]:
    """Return the uninfused frequency, if it is there, and ``count`` others, evenly spread from the least to the
    greatest: what an adaptive sweep begins with.
    """  # noqa: D205
    infused = [frequency for frequency in frequencies if frequency > 0]
    places = np.unique(np.linspace(0, len(infused) - 1, min(count, len(infused))).round().astype(int)).tolist()
    return [*(frequency for frequency in frequencies if frequency == 0), *(infused[place] for place in places)]
