"""Sweeps whose truth is known, from curves and laws of other families than the ones that `kis-predict` fits.

A sweep is a curve family (how retention depends on F at one size), a law (how the collapse point depends on N and D)
and a noise. The collapse point is found numerically on the noise-free curve, by the definition: the lowest F beyond the
peak at which 5 % of the peak's height above chance is lost. Everything is seeded; nothing here imports the estimators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["CURVES", "LAWS", "Sweep", "make_sweep"]

Array = npt.NDArray[np.float64]
Curve = Callable[[Array], Array]
"""Height above chance, up to a factor, over log F."""
Law = Callable[[Array, Array], Array]
"""log F_c by log(N / smallest N) and log(D / smallest D), up to a constant."""

CHANCE, FACTS, TOKENS_PER_FACT, TOKENS_PER_PARAM = 0.25, 2000, 20.0, 20
DROP = 0.05
TIMES = (5, 25)
"""Targets, as multiples of the largest size."""


def _logistic(rng: np.random.Generator) -> Curve:
    """Two logistic steps in log F; the second one may stop above chance."""
    rise, fall = rng.uniform(0.25, 0.6), rng.uniform(0.15, 0.4)
    gap, depth = rng.uniform(1.8, 3.2), rng.uniform(0.5, 1.0)
    return lambda x: (1 - depth / (1 + np.exp(-x / fall))) / (1 + np.exp(-(x + gap) / rise))


def _hill(rng: np.random.Generator) -> Curve:
    """Hill functions of F, as dose and toxicity: both tails are powers."""
    rise, fall, gap = rng.uniform(1.0, 2.5), rng.uniform(2.0, 6.0), rng.uniform(2.0, 3.5)
    return lambda x: 1 / (1 + np.exp(-rise * (x + gap))) / (1 + np.exp(fall * x))


def _gauss(rng: np.random.Generator) -> Curve:
    """A bell in log F, wider on the left."""
    left, right = rng.uniform(1.0, 1.8), rng.uniform(0.5, 1.1)
    return lambda x: np.exp(-0.5 * np.where(x < 0, x / left, x / right) ** 2)


def _weibull(rng: np.random.Generator) -> Curve:
    """First hits and failures: 1 - exp(-(F / a)^k), times exp(-(F / b)^m)."""
    rise, fall, gap = rng.uniform(0.8, 1.6), rng.uniform(1.2, 3.0), rng.uniform(1.8, 3.2)
    return lambda x: -np.expm1(-np.exp(rise * (x + gap))) * np.exp(-np.exp(fall * x))


def _cliff(rng: np.random.Generator) -> Curve:
    """A rise that is linear in log F, a level top, and a drop within a fraction of a grid step."""
    rise, top, drop, depth = rng.uniform(1.2, 2.5), rng.uniform(0.0, 1.2), rng.uniform(0.1, 0.5), rng.uniform(0.5, 1.0)
    return lambda x: np.clip((x + rise + top) / rise, 0, 1) * (1 - depth * np.clip(x / drop, 0, 1))


def _gompertz(rng: np.random.Generator) -> Curve:
    """A rise that starts sharply and ends slowly, times a fall that starts slowly and ends sharply."""
    rise, fall, gap = rng.uniform(0.4, 0.8), rng.uniform(0.25, 0.5), rng.uniform(2.0, 3.0)
    return lambda x: np.exp(-np.exp(-(x + gap) / rise) - np.exp(x / fall))


CURVES: Mapping[str, Callable[[np.random.Generator], Curve]] = {
    "logistic": _logistic, "hill": _hill, "gauss": _gauss, "weibull": _weibull, "cliff": _cliff, "gompertz": _gompertz,
}  # fmt: skip


def _power(low: float, high: float) -> Callable[[np.random.Generator, float], Law]:
    def draw(rng: np.random.Generator, span: float) -> Law:
        slope = rng.uniform(low, high)
        return lambda n, d: slope * n

    return draw


def _saturating(rng: np.random.Generator, span: float) -> Law:
    """A Michaelis-Menten approach to a ceiling."""
    start, rate = rng.uniform(2.0, 8.0), rng.uniform(0.6, 1.2)
    return lambda n, d: -np.log1p(start * np.exp(-rate * n))


def _exponential(rng: np.random.Generator, span: float) -> Law:
    """1 - exp(-a N^c): an approach to a ceiling that ends faster."""
    start, rate = rng.uniform(0.08, 0.3), rng.uniform(0.5, 0.9)
    return lambda n, d: np.log(-np.expm1(-start * np.exp(rate * n)))


def _parabola(first: tuple[float, float], last: tuple[float, float]) -> Callable[[np.random.Generator, float], Law]:
    """Log F_c as a parabola in log N, by its slopes at the smallest and at the largest size."""

    def draw(rng: np.random.Generator, span: float) -> Law:
        start, end = rng.uniform(*first), rng.uniform(*last)
        return lambda n, d: start * n + (end - start) / (2 * span) * n**2

    return draw


def _floor(rng: np.random.Generator, span: float) -> Law:
    """A power that falls to an amount that every size takes."""
    start, rate = rng.uniform(2.0, 10.0), rng.uniform(0.6, 1.2)
    return lambda n, d: np.log1p(start * np.exp(-rate * n))


def _logarithm(rng: np.random.Generator, span: float) -> Law:
    """F_c itself linear in log N."""
    slope = rng.uniform(0.4, 1.5)
    return lambda n, d: np.log1p(slope * n)


def _turn(rng: np.random.Generator, span: float) -> Law:
    """Two powers that meet in the middle of the sweep."""
    first, last, at = rng.uniform(0.4, 0.9), rng.uniform(-0.4, 0.1), rng.uniform(0.4, 0.7) * span
    return lambda n, d: first * np.minimum(n, at) + last * np.maximum(n - at, 0)


def _share(rng: np.random.Generator, span: float) -> Law:
    """Every size collapses at the same share of D."""
    return lambda n, d: d


def _budget(rng: np.random.Generator, span: float) -> Law:
    """A power of N and one of D."""
    by_n, by_d = rng.uniform(-0.3, 0.2), rng.uniform(0.3, 1.0)
    return lambda n, d: by_n * n + by_d * d


LAWS: Mapping[str, Callable[[np.random.Generator, float], Law]] = {
    "power up": _power(0.2, 0.9),
    "power down": _power(-0.9, -0.2),
    "saturating": _saturating,
    "exponential": _exponential,
    "curved down": _parabola((0.4, 1.0), (-0.1, 0.25)),
    "curved up": _parabola((-0.7, -0.2), (0.0, 0.4)),
    "floor": _floor,
    "logarithm": _logarithm,
    "turn": _turn,
    "share": _share,
    "budget": _budget,
}
STRAIGHT = ("power up", "power down")
BENT = ("saturating", "exponential", "curved down", "floor", "logarithm")
"""Laws that level off or bend down: where a straight line goes too high, or, at a floor, too low."""


@dataclass(frozen=True)
class Run:
    """One run: N, D, F, measured retention, number of probes, seed."""

    params: int
    tokens: int
    frequency: float
    retention: float
    n: int
    seed: int


@dataclass(frozen=True)
class Sweep:
    """A simulated sweep.

    Attributes:
        curve: Name of its family.
        law: Name of its law.
        runs: What was measured.
        log_collapse: The true log F_c of each (N, D) of the sweep.
        targets: N and D of the targets, by how many times the largest size they are.
        log_at_target: The true log F_c there, likewise.
        height: Of the noise-free curve over chance, by log F less log F_c, as a part of the peak's.
    """

    curve: str
    law: str
    runs: tuple[Run, ...]
    log_collapse: Mapping[tuple[int, int], float]
    targets: Mapping[int, tuple[int, int]]
    log_at_target: Mapping[int, float]
    height: Curve


def normalised(curve: Curve) -> Curve:
    """Return the curve with a peak of 1 and its collapse point at 0."""
    x = np.linspace(-9, 6, 30_001)
    y = curve(x)
    top = int(np.argmax(y))
    collapse = x[top + int(np.argmax(y[top:] < (1 - DROP) * y[top]))]
    return lambda at: curve(at + collapse) / y[top]


def make_sweep(
    curve: str, law: str, seed: int, sizes: int | None = None, frequencies: int | None = None,
    noise: float | None = None, never_learnt: int = 0, ends_early: int = 0, second_budget: bool | None = None,
    wobble: float = 0.1,
) -> Sweep:  # fmt: skip
    """Simulate one sweep.

    Args:
        curve: Name of a family.
        law: Name of a law.
        seed: Of everything that is drawn.
        sizes: 4 to 8 where None.
        frequencies: Of each size, 8 to 12 where None.
        noise: Standard deviation of retention at one half, probes and seeds together, 0.016 to 0.03 where None.
        never_learnt: So many of the smallest sizes stay at chance.
        ends_early: So many of the largest sizes are swept only to before their collapse.
        second_budget: Whether one size in the middle is swept on twice its tokens too; where None, if the law needs it.
        wobble: Standard deviation of the log widths of the curves from size to size.
    """
    rng = np.random.default_rng([seed, sorted(CURVES).index(curve), sorted(LAWS).index(law)])
    sizes = sizes or int(rng.integers(4, 9))
    frequencies = frequencies or int(rng.integers(8, 13))
    noise = noise or float(rng.uniform(0.016, 0.03))
    params = np.round(1e8 * rng.uniform(1.9, 2.6) ** np.arange(sizes))
    tokens = TOKENS_PER_PARAM * params
    places = [(float(n), float(d)) for n, d in zip(params, tokens, strict=True)]
    if law == "budget" if second_budget is None else second_budget:
        places.insert(sizes // 2 + 1, (params[sizes // 2], 2 * tokens[sizes // 2]))
    span = float(np.log(params[-1] / params[0]))
    line, shape = LAWS[law](rng, span), normalised(CURVES[curve](rng))
    level, height = np.log(rng.uniform(60, 200)), rng.uniform(0.4, 0.65)
    top = float(line(np.array(0.0), np.array(0.0)))

    def truth(n: float, d: float) -> float:
        return float(level + line(np.log(n / params[0]), np.log(d / tokens[0])) - top)

    runs: list[Run] = []
    probes, rho = 1000, max(0.0, (4 * noise**2 - 1e-3) / (1 - 1e-3))
    for at, (n, d) in enumerate(places):
        stretch = np.exp(wobble * rng.standard_normal())
        last = -0.2 if at >= len(places) - ends_early else rng.uniform(1.2, 2.0)
        x = np.linspace(rng.uniform(-4.0, -3.2), last, frequencies)
        p = CHANCE + (0.0 if at < never_learnt else height) * shape(x / stretch)
        p = np.clip(p, 1e-3, 1 - 1e-3)
        drawn = rng.beta(p * (1 / rho - 1), (1 - p) * (1 / rho - 1)) if rho > 0 else p
        for f, r in zip(np.exp(truth(n, d) + x), rng.binomial(probes, drawn) / probes, strict=True):
            runs.append(Run(int(n), int(d), float(f), float(r), probes, 0))
    targets = {times: (int(times * params[-1]), int(times * tokens[-1])) for times in TIMES}
    return Sweep(
        curve, law, tuple(runs), {(int(n), int(d)): truth(n, d) for n, d in places}, targets,
        {times: truth(*target) for times, target in targets.items()}, shape,
    )  # fmt: skip
