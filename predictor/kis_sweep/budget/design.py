"""Chooses sizes, frequencies and seeds that a budget allows, by the interval expected at the target.

Each size gives log F_c with an error that its frequencies and seeds leave; a line in log N with a little curvature and
scatter between sizes goes through them. Of all designs that the budget pays for, that one is chosen whose expected
variance at the target is least: Bayesian linear optimal design (Chaloner and Verdinelli 1995, Statistical Science 10).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from kis_predict.sweep import MOST_SHARE
from kis_sweep.budget.recorded_law import RISE, log_collapse
from kis_sweep.grid import parse_frequencies

__all__ = ["Design", "Situation", "best_design", "expected_sd"]

_SIZES = (4, 5, 6, 7)
_RATIOS = (1.8, 2.0, 2.5, 3.0, 4.0)
_POINTS = (8, 10, 13)
_SEEDS = (1, 2, 3)
_BELOW, _ABOVE = 2.5 * RISE, 3.0  # the frequencies reach so far below and above the collapse points
_PAST = 2.0  # times the collapse point, where a fall stands out from noise
_NEAREST = 3.0  # the largest size is at most the target over this
_LEAST = 1_000_000  # parameters of the smallest size
_POINT_SD, _USUAL_STEP = 0.15, 0.5  # of log F_c of one size whose frequencies are a factor of e^0.5 apart
_SCATTER = 0.1  # sd of log F_c between sizes about any smooth law
_CURVATURE = 0.02  # prior sd of the quadratic term in log N
_WIDE = 10.0


@dataclass(frozen=True)
class Situation:
    """What a sweep is designed for.

    Attributes:
        target: N of the large model.
        target_tokens: Its D.
        tokens_per_param: D / N of the sweep's runs.
        exposure: Tokens of one exposure of all facts; None where it is not known: shares are then no limit.
        longest: FLOPs of the longest run, as it uses one GPU; None for no limit.
    """

    target: float
    target_tokens: float
    tokens_per_param: float
    exposure: float | None = None
    longest: float | None = None

    def share(self, params: float, frequency: float) -> float:
        """Return the share of D that so many exposures take at a size; 0 where the facts are not known."""
        return 0.0 if self.exposure is None else frequency * self.exposure / (self.tokens_per_param * params)

    def collapse(self, params: float) -> float:
        """Return the collapse point assumed for a size of the sweep."""
        return math.exp(log_collapse(params, self.tokens_per_param * params))

    def shows_collapse(self, params: float) -> bool:
        """Return whether a size can be swept past its collapse point below the greatest share."""
        return self.share(params, _PAST * self.collapse(params)) <= MOST_SHARE

    def never_learns(self, params: float) -> bool:
        """Return whether a size would reach the greatest share before half of its retention."""
        return self.share(params, self.collapse(params) / RISE) > MOST_SHARE


@dataclass(frozen=True)
class Design:
    """A sweep: each size with each frequency.

    Attributes:
        sizes: N, ascending.
        frequencies: Exposures per fact, ascending, without 0.
        seeds: Seeds of the upper half of the frequencies, as ``kis sweep plan`` has them.
        flops: Of all runs, the uninfused ones included.
    """

    sizes: tuple[int, ...]
    frequencies: tuple[float, ...]
    seeds: int
    flops: float

    @property
    def runs_per_size(self) -> int:
        """Runs of each size, the uninfused one included."""
        return _runs_per_size(len(self.frequencies), self.seeds)


def best_design(situation: Situation, budget: float) -> Design | None:
    """Return the design with the least expected variance at the target; None if the budget pays for none."""
    designs = list(_designs(situation, budget))
    # Sizes whose fall lies above the greatest share give bounds only, which widen the answer.
    seen = [design for design in designs if all(map(situation.shows_collapse, design.sizes))]
    designs = seen or designs
    return min(designs, key=lambda one: (round(expected_sd(one, situation), 4), one.flops), default=None)


def _designs(situation: Situation, budget: float) -> Iterator[Design]:
    per_square = 6 * situation.tokens_per_param  # FLOPs of a run are 6 N D
    for count, ratio, points, seeds in product(_SIZES, _RATIOS, _POINTS, _SEEDS):
        runs = _runs_per_size(points, seeds)
        squares = sum(ratio ** (-2 * at) for at in range(count))
        largest = min(math.sqrt(budget / (per_square * runs * squares)), situation.target / _NEAREST)
        if situation.longest is not None:
            largest = min(largest, math.sqrt(situation.longest / per_square))
        sizes = [_rounded(largest / ratio**at) for at in range(count)][::-1]
        if sizes[0] < _LEAST or len(set(sizes)) < count or any(map(situation.never_learns, sizes)):
            continue
        low, high = situation.collapse(sizes[0]) / _BELOW, situation.collapse(sizes[-1]) * _ABOVE
        low, high = (max(float(f"{end:.2g}"), 1.0) for end in (low, high))
        frequencies = parse_frequencies(f"{low:.0f}..{high:.0f}", points)
        flops = sum(per_square * size**2 * runs for size in sizes)
        if len(frequencies) == points and flops <= budget * 1.001:
            yield Design(tuple(sizes), tuple(frequencies), seeds, flops)


def _rounded(params: float) -> int:
    """Return a size with two digits, rounded down so that the budget holds."""
    unit = 10 ** (math.floor(math.log10(params)) - 1)
    return int(params // unit * unit)


def _runs_per_size(points: int, seeds: int) -> int:
    upper = points - points // 2
    return 1 + points + (seeds - 1) * upper


def expected_sd(design: Design, situation: Situation) -> float:
    """Return the expected standard deviation of log F_c at the target."""
    at = np.log(np.array(design.sizes, dtype=np.float64) / situation.target)  # (sizes,), 0 at the target
    step = math.log(design.frequencies[-1] / design.frequencies[0]) / (len(design.frequencies) - 1)
    variance = _POINT_SD**2 * step / _USUAL_STEP / (1 + 0.5 * (design.seeds - 1)) + _SCATTER**2
    features = np.stack([np.ones_like(at), at, at**2], axis=1)  # (sizes, 3)
    prior = np.diag([1 / _WIDE**2, 1 / _WIDE**2, 1 / _CURVATURE**2])
    covariance = np.linalg.inv(features.T @ features / variance + prior)
    return float(math.sqrt(covariance[0, 0] + _SCATTER**2))
