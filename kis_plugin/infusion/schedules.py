"""How densely each part of the window is infused: shapes alone, in whole numbers.

The plan apportions its slots to these weights exactly, so a weight must be the same number on every machine and in
every release: fractions and decimals here, never the platform's floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from math import gcd, lcm

__all__ = ["Burst", "Ramp", "Spaced", "Uniform"]

GREATEST = 2**32  # a weight; so that sums of many fit 64 bits
_DECIMALS = Context(prec=40, rounding=ROUND_HALF_EVEN)  # its logarithms are correctly rounded on every platform


@dataclass(frozen=True)
class Uniform:
    """The same everywhere."""

    name = "uniform"

    def weights(self, parts: int) -> Sequence[int]:
        """Return equal weights."""
        return [1] * parts


@dataclass(frozen=True)
class Ramp:
    """Grows or falls on a straight line.

    Attributes:
        start: Density at the start of the window, relative to ``end``.
        end: Density at its end.
    """

    start: float = 0.0
    end: float = 1.0
    name = "ramp"

    def __post_init__(self) -> None:
        """Refuse what is no density."""
        if not all(0 <= density <= 1e9 for density in (self.start, self.end)):
            raise ValueError("densities from 0 to 1e9")
        if self.start == self.end == 0:
            raise ValueError("a density above 0 at the start or at the end")

    def weights(self, parts: int) -> Sequence[int]:
        """Return the line's height in the middle of each part, which is its mean there."""
        start, end = _exact(self.start), _exact(self.end)
        return _whole([start + (end - start) * Fraction(2 * part + 1, 2 * parts) for part in range(parts)])


@dataclass(frozen=True)
class Burst:
    """Dense for a while, then nothing, several times over.

    Attributes:
        bursts: How many periods the window has; each begins with its burst.
        part: Fraction of each period that is infused.
    """

    bursts: int = 4
    part: float = 0.25
    name = "burst"

    def __post_init__(self) -> None:
        """Refuse bursts that are none."""
        if not 1 <= self.bursts <= 64 or self.bursts != int(self.bursts):
            raise ValueError("a whole number of bursts from 1 to 64")
        if not 0 < self.part <= 1:
            raise ValueError("a part above 0, at most 1")

    def weights(self, parts: int) -> Sequence[int]:
        """Return how much of each part lies in a burst."""
        # Lengths in parts of the window. A part may hold the end of one burst and the start of the next.
        period = Fraction(parts, int(self.bursts))
        infused = period * _exact(self.part)

        def before(place: int) -> Fraction:  # infused length from the window's start to place, in parts
            periods, rest = divmod(Fraction(place), period)
            return periods * infused + min(rest, infused)

        return _whole([before(part + 1) - before(part) for part in range(parts)])


@dataclass(frozen=True)
class Spaced:
    """Spaced repetition: the gaps between a fact's exposures grow by the same factor from each to the next.

    The density at t, from 0 to 1 in the window, is proportional to 1 / (t + t0) with t0 = 1 / (stretch - 1). Round k
    of F then begins at t0 (stretch^(k/F) - 1), so that each gap is stretch^(1/F) times the one before.

    Attributes:
        stretch: The last gap over the first, where exposures are many: density at the start over that at the end.
    """

    stretch: float = 10.0
    name = "spaced"
    in_order = True

    def __post_init__(self) -> None:
        """Refuse gaps that do not grow."""
        if not 1 < self.stretch <= 1e6:
            raise ValueError("a stretch above 1, at most 1e6")

    def weights(self, parts: int) -> Sequence[int]:
        """Return the density's integral over each part: ln((b + t0) / (a + t0)) from a to b."""
        with localcontext(_DECIMALS):
            stretch = Decimal(str(float(self.stretch)))
            logs = [(1 + (stretch - 1) * part / parts).ln() for part in range(parts + 1)]
            heights = [log * GREATEST / (logs[1] - logs[0]) for log in logs]  # the first part is the densest
            ends = [int(height.to_integral_value()) for height in heights]
        return [end - start for start, end in pairwise(ends)]


def _exact(number: float) -> Fraction:
    """Return the number as it is written, 0.1 being a tenth."""
    return Fraction(str(float(number)))


def _whole(densities: Sequence[Fraction]) -> list[int]:
    """Return whole numbers in the same proportions: exactly, or rounded where they would grow beyond ``GREATEST``."""
    # Over a common denominator all densities are whole; their greatest common divisor then makes them small.
    scale = lcm(*(density.denominator for density in densities))
    weights = [int(density * scale) for density in densities]
    shared = gcd(*weights)
    top = max(weights) // shared
    if top <= GREATEST:
        return [weight // shared for weight in weights]
    return [round(Fraction(weight * GREATEST, shared * top)) for weight in weights]
