"""Collapse points without a curve's formula: a rise and a fall, of any shape, through the runs of each size and budget.

    python -m studies.law.model_free studies/law/logs.tar.xz

Held-out retention, averaged over seeds, is fitted by the sequence that rises up to some frequency and falls from there
on (isotonic regression on both sides of the turn, the turn with the least squares). F_c is where it has lost 5 % of its
height above chance, read linearly in log F: the definition of ``kis-predict``, whose answer, from a curve and with the
sizes pooled, stands beside it. Intervals are 90 %, of 500 resamples: seeds scatter about the fit by their own standard
deviation. A part of resamples without a fall is the part in which the collapse lies beyond the highest frequency.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy.optimize import isotonic_regression

from kis_plugin.amounts import short
from kis_predict.curves.rise_fall import DROP
from kis_predict.curves.size_estimates import SizeEstimate, estimate_sizes
from kis_predict.sweep import build_sweep
from studies.law.outcome import measured, read, spread
from studies.seeds import scatter

__all__ = ["collapse", "model_free", "resampled", "scatter_of", "unimodal"]

Array = npt.NDArray[np.float64]
RESAMPLES, SCATTER = 500, 0.06
"""``SCATTER``: standard deviation of a run's retention between seeds, where no amount has two (``studies.table``)."""


def unimodal(values: Array, weights: Array) -> Array:
    """Return the sequence that rises and then falls and is nearest to ``values``, (frequencies,), by least squares."""
    best, least = values, math.inf
    for turn in range(len(values) + 1):
        rise = isotonic_regression(values[:turn], weights=weights[:turn]).x if turn else values[:0]
        fall = (
            isotonic_regression(values[turn:], weights=weights[turn:], increasing=False).x
            if turn < len(values)
            else values[:0]
        )
        fitted = np.concatenate([rise, fall])
        error = float(weights @ (values - fitted) ** 2)
        if error < least - 1e-12:
            best, least = fitted, error
    return best


def collapse(log_frequencies: Array, fitted: Array, chance: float) -> float:
    """Return log F where the fit has lost ``DROP`` of its height, linear between frequencies; inf if it never does."""
    top = int(np.flatnonzero(fitted == fitted.max())[-1])
    level = chance + (1 - DROP) * (fitted[top] - chance)
    below = np.flatnonzero(fitted[top:] < level)
    if not len(below):
        return math.inf
    at = top + int(below[0])
    part = (fitted[at - 1] - level) / (fitted[at - 1] - fitted[at])
    return float(log_frequencies[at - 1] + part * (log_frequencies[at] - log_frequencies[at - 1]))


def resampled(size: SizeEstimate, scatter: float, seed: int = 0) -> tuple[float, Array]:
    """Return log F_c of a size, and that of resamples, (RESAMPLES,); inf where retention never falls."""
    by_frequency: dict[float, list[float]] = defaultdict(list)
    for run in size.group.runs:
        if run.retention is not None:
            by_frequency[run.frequency].append(run.retention)
    frequencies = sorted(by_frequency)
    x = np.log(frequencies)
    y = np.array([fmean(by_frequency[f]) for f in frequencies])
    seeds = np.array([len(by_frequency[f]) for f in frequencies], dtype=float)
    chance = float(size.group.chance)
    fitted = unimodal(y, seeds)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((RESAMPLES, len(x))) * scatter / np.sqrt(seeds)  # (resamples, frequencies)
    found = np.array([collapse(x, unimodal(fitted + each, seeds), chance) for each in noise])
    return collapse(x, fitted, chance), found


def model_free(size: SizeEstimate, scatter: float) -> tuple[float, float, float, float]:
    """Return F_c of a size, the ends of its interval, and the part of resamples in which retention never falls."""
    value, found = resampled(size, scatter)
    low, high = (float(np.exp(np.quantile(found, end, method="higher"))) for end in (0.05, 0.95))
    return math.exp(value), low, high, float(np.isinf(found).mean())


def scatter_of(sizes: Sequence[SizeEstimate]) -> float:
    """Return the standard deviation of a run's retention between seeds, from the amounts that have several."""
    cells: dict[tuple[int, int, float], list[float]] = defaultdict(list)
    for size in sizes:
        for run in size.group.runs:
            if run.retention is not None:
                cells[size.group.params, size.group.tokens, run.frequency].append(run.retention)
    found, free = scatter(cells.values())
    return found if free else SCATTER


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", nargs="+", help="archives or folders of run logs")
    sizes = list(estimate_sizes(build_sweep(read(options.parse_args().logs)).groups, 1000, 0, 0.9))
    scatter = scatter_of(sizes)
    print(f"Standard deviation of a run's retention between seeds: {scatter:.3f}")
    table = Table("N", "D", "runs", "model-free F_c (90 %)", "no fall in", "kis-predict (90 %)")
    for size in sizes:
        value, low, high, never = model_free(size, scatter)
        ends = [short(end) if math.isfinite(end) else "none" for end in (value, low, high)]
        found = measured(size)
        table.add_row(
            f"{size.group.params:,}", short(size.group.tokens), f"{len(size.group.runs)}",
            f"{ends[0]} ({ends[1]} to {ends[2]})", f"{never:.0%}",
            spread(*found) if size.censored is None else f"none up to {short(found[0])}",
        )  # fmt: skip
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
