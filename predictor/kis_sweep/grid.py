"""The grid of a sweep: sizes, infusion frequencies, seeds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kis_plugin.amounts import parse_amount
from kis_plugin.errors import KISError, Problem

__all__ = ["Cell", "cells_of", "first_runs", "parse_frequencies", "parse_sizes"]

_NUMBER = r"(\d+(?:\.\d+)?)"
_RANGE = re.compile(rf"{_NUMBER}\s*\.\.\s*{_NUMBER}")


@dataclass(frozen=True, order=True)
class Cell:
    """One run of the grid.

    Attributes:
        size: Requested model size N; N of the shape is close to it.
        frequency: Infusion frequency F.
        seed: Seed of all random choices in the run.
    """

    size: int
    frequency: float
    seed: int


def parse_sizes(text: str) -> list[int]:
    """Parse ``1M,3M,10M``.

    Raises:
        KISError: An entry is no amount, or a size is repeated.
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
    """Parse ``4..4096``, evenly spaced on a log scale and rounded to whole exposures, or ``0,16,64``, or both.

    Args:
        text: Ranges and numbers, separated by commas.
        points: Number of frequencies per range, including its ends.
        where: Name of the option in error messages.

    Returns:
        The frequencies in ascending order, without duplicates.

    Raises:
        KISError: An entry is neither a number nor a valid range.
    """
    problems: list[Problem] = []
    found: set[float] = set()
    for part in text.split(","):
        span = _RANGE.fullmatch(part.strip())
        if span:
            low, high = float(span[1]), float(span[2])
            if not 1 <= low < high <= 1e15:
                problems.append(
                    Problem(where, repr(part.strip()), "an ascending range such as 4..4096 that starts at 1 or above")
                )
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

    Every size and frequency has seed 0. The other seeds repeat only the upper half of the frequencies, where retention
    peaks and falls: on the smooth rise below, neighbouring frequencies already average out the noise.
    """
    infused = [frequency for frequency in frequencies if frequency > 0]
    upper = set(infused[len(infused) // 2 :])
    return [
        Cell(size, frequency, seed)
        for size in sizes
        for frequency in frequencies
        for seed in range(seeds if frequency in upper else 1)
    ]


def first_runs(frequencies: Sequence[float], count: int) -> list[float]:
    """Return the frequencies that an adaptive sweep starts with.

    These are 0, if it is among them, and ``count`` others, evenly spread from the lowest to the highest.
    """
    infused = [frequency for frequency in frequencies if frequency > 0]
    indices = np.unique(np.linspace(0, len(infused) - 1, min(count, len(infused))).round().astype(int)).tolist()
    return [*(frequency for frequency in frequencies if frequency == 0), *(infused[index] for index in indices)]
