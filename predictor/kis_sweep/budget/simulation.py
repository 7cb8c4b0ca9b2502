"""Simulates sweeps of a design and predicts from them, as ``kis-predict`` would from the real one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from kis_predict.observed import ObservedRun
from kis_predict.pipeline import PredictionRequest, predict
from kis_predict.protocols import Law
from kis_predict.sweep import MOST_SHARE
from kis_sweep.budget.design import Design, Situation
from kis_sweep.budget.recorded_law import BY_D, BY_D_SD, BY_N, BY_N_SD, RISE, log_collapse

__all__ = ["Outcome", "simulate"]

_BOOTSTRAPS = 200
_CHANCE, _PROBES, _NOISE = 0.25, 1000, 0.02
_HEIGHTS = (0.4, 0.65)
_SCATTER = 0.1  # sd of log F_c between sizes
_RISE_WIDTH, _FALL_WIDTH = 0.3, 0.3
_DROP = 0.05
_FACTS = 1000.0


@dataclass(frozen=True)
class Outcome:
    """What the predictions of simulated sweeps were worth.

    Attributes:
        factor: Median over the answers of the square root of upper over lower end of the 90 % interval of F_c at the
            target: the answer is good to this factor. None where every sweep was refused.
        answered: Sweeps that were answered.
        held: Answers whose interval holds the true collapse point.
        sweeps: Simulated sweeps.
        reason: Why a sweep was refused, of the last one that was; empty if none.
    """

    factor: float | None
    answered: int
    held: int
    sweeps: int
    reason: str = ""


def simulate(
    design: Design, situation: Situation, laws: Mapping[str, Law], sweeps: int, seed: int, done: Callable[[], None]
) -> Outcome:
    """Simulate some sweeps of a design.

    Args:
        design: The sweep.
        situation: Its target.
        laws: Those that the predictor may fit, by name.
        sweeps: How many are simulated; each draws its own law around the recorded one.
        seed: Of everything that is drawn.
        done: Called after each of them.
    """
    factors: list[float] = []
    held, reason = 0, ""
    for number in range(sweeps):
        rng = np.random.default_rng([seed, number])
        by_n, by_d = rng.normal(BY_N, BY_N_SD), rng.normal(BY_D, BY_D_SD)
        runs = _runs(design, situation, by_n, by_d, rng)
        request = PredictionRequest(
            params=round(situation.target), tokens=round(situation.target_tokens), bootstraps=_BOOTSTRAPS, seed=seed
        )
        answer = predict(runs, request, laws)
        if answer.recommendation is None or answer.collapse is None:
            reason = next(iter(answer.missing), "")
        else:
            low, high = answer.collapse.low, answer.collapse.high
            factors.append(math.sqrt(high / low) if low > 0 else math.inf)
            truth = math.exp(log_collapse(situation.target, situation.target_tokens, by_n, by_d))
            held += low <= truth <= high
        done()
    return Outcome(statistics.median(factors) if factors else None, len(factors), held, sweeps, reason)


def _runs(
    design: Design, situation: Situation, by_n: float, by_d: float, rng: np.random.Generator
) -> list[ObservedRun]:
    """Draw the results of all runs that keep to the greatest share."""
    height = rng.uniform(*_HEIGHTS)
    exposure = situation.exposure or 1.0
    upper = design.frequencies[len(design.frequencies) // 2]
    found = []
    for params in design.sizes:
        tokens = situation.tokens_per_param * params
        middle = log_collapse(params, tokens, by_n, by_d) + _SCATTER * rng.standard_normal()
        for frequency in (0, *design.frequencies):
            share = situation.share(params, frequency)
            if share > MOST_SHARE:
                continue
            for seed in range(design.seeds if frequency >= upper else 1):
                expected = _CHANCE + (height * _curve(math.log(frequency) - middle) if frequency else 0.0)
                retention = float(np.clip(expected + _NOISE * rng.standard_normal(), 0, 1))
                one = ObservedRun(
                    source="simulated", params=params, tokens=round(tokens), frequency=float(frequency),
                    retention=retention, n=_PROBES, chance=_CHANCE, facts=int(_FACTS),
                    tokens_per_fact=exposure / _FACTS, seed=seed,
                )  # fmt: skip
                found.append(one)
    return found


def _curve(x: float) -> float:
    """Return retention's height at a distance from log F_c, as a part of the peak's: a rise and a fall, 0.95 at 0."""
    fall_at = _FALL_WIDTH * math.log(1 / _DROP - 1)
    rise = 1 / (1 + math.exp(-(x + math.log(RISE)) / _RISE_WIDTH))
    return rise / (1 + math.exp((x - fall_at) / _FALL_WIDTH))
