"""What the charts draw: each size's points and fitted curve, and the law's line with its band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kis_plugin.registry import registered
from kis_predict.curves import rise_fall
from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.laws.selection import Sizes, fit_laws, quantile
from kis_predict.laws.size_points import points_of
from kis_predict.prediction import Prediction

__all__ = ["LawCurve", "SizeCurve", "law_curve", "size_curves", "spread"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SizeCurve:
    """One size, ready to be drawn. Frequencies are plain, not logarithms.

    Attributes:
        size: The estimate.
        frequency: Of the points, (points,).
        retention: (points,), repeats averaged.
        error: Standard error of a point from its probes, (points,); nan where their number is unknown.
        grid: Frequencies of the fitted curve, (grid,).
        fitted: Its retention, (grid,).
        peak: F_opt, or None where it was not seen.
        collapse: F_c, likewise.
    """

    size: SizeEstimate
    frequency: Array
    retention: Array
    error: Array
    grid: Array
    fitted: Array
    peak: tuple[float, float] | None
    collapse: tuple[float, float] | None


def size_curves(sizes: Sequence[SizeEstimate]) -> list[SizeCurve]:
    """Return what is to be drawn of every size."""
    return [_curve(size) for size in sizes]


def spread(curves: Sequence[SizeCurve], most: int) -> list[SizeCurve]:
    """Return at most so many of them, from the smallest to the largest size."""
    if len(curves) <= most:
        return list(curves)
    step = (len(curves) - 1) / (most - 1)
    return [curves[round(at * step)] for at in range(most)]


def _curve(size: SizeEstimate) -> SizeCurve:
    group = size.group
    log_f, retention, probes, repeats = group.points()
    known = all(run.n for run in group.runs)
    error = np.sqrt(retention * (1 - retention) / (probes * repeats)) if known else np.full(len(log_f), np.nan)
    grid = np.linspace(log_f[0], log_f[-1], 240)

    def at(log_frequency: Array | float) -> Array:
        x = np.atleast_1d(np.asarray(log_frequency, dtype=np.float64))
        return np.asarray(
            rise_fall.curve(np.atleast_2d(size.parameters), x, group.chance, rise_fall.SHAPES[size.shape])[0]
        )

    def mark(log_frequency: float) -> tuple[float, float] | None:
        return None if size.censored else (float(np.exp(log_frequency)), float(at(log_frequency)[0]))

    return SizeCurve(
        size=size, frequency=np.exp(log_f), retention=retention, error=error, grid=np.exp(grid), fitted=at(grid),
        peak=mark(size.log_peak), collapse=mark(size.log_collapse),
    )  # fmt: skip


@dataclass(frozen=True)
class LawCurve:
    """The law, ready to be drawn on its own axis: exposures per fact, or share of D.

    Attributes:
        axis: ``frequency`` or ``share``.
        params: N of the sizes, (sizes,).
        value: F_c of each, or the bound where it is censored.
        low: End of its interval; 0 where open.
        high: Likewise; inf where open.
        censored: ``None``, ``"right"`` or ``"left"`` of each.
        grid: N of the line, (grid,); empty if the law chosen cannot be drawn alone.
        line: The law chosen: its median.
        band: Its central interval, with it, (2, grid).
        target: N, value, low and high at the target, over all laws; None without an answer.
    """

    axis: str
    params: Array
    value: Array
    low: Array
    high: Array
    censored: tuple[str | None, ...]
    grid: Array
    line: Array
    band: Array
    target: tuple[float, float, float, float] | None


def law_curve(answer: Prediction, points: int = 60) -> LawCurve:
    """Return the collapse points of all sizes with the law through them, from the smallest size to the target."""
    axis, unit = _axis(answer)
    params = np.array([size.group.params for size in answer.sizes], dtype=np.float64)
    log_value = np.array([size.log_collapse for size in answer.sizes]) + unit
    ends = np.array([size.log_collapse_interval for size in answer.sizes]).reshape(-1, 2) + unit[:, None]
    target = None
    if answer.collapse:
        found = answer.collapse
        scale = found.share / found.frequency if axis == "share" and found.share else 1.0
        target = float(answer.target.params), scale * found.frequency, scale * found.low, scale * found.high
    grid, line, band = _law(answer, unit, points)
    return LawCurve(
        axis, params, np.exp(log_value), np.exp(ends[:, 0]), np.exp(ends[:, 1]),
        tuple(size.censored for size in answer.sizes), grid, line, band, target,
    )  # fmt: skip


def _axis(answer: Prediction) -> tuple[str, Array]:
    """Return the law's axis and, of each size, the log share of D that one exposure of every fact takes."""
    shares = [
        np.median([share / run.frequency for run in size.group.runs if (share := run.infused_share())] or [np.nan])
        for size in answer.sizes
    ]
    unit = np.log(np.array(shares, dtype=np.float64))
    if answer.axis is None or answer.axis.name != "share" or not np.isfinite(unit).all():
        return "frequency", np.zeros(len(shares))
    return "share", unit


def _law(answer: Prediction, unit: Array, points: int) -> tuple[Array, Array, Array]:
    """Return N, the line and the band of the law chosen: fitted anew, as the answer keeps no draws between sizes."""
    nothing = np.empty(0), np.empty(0), np.empty((2, 0))
    law = registered("laws").get(answer.law.name) if answer.law else None
    if law is None or answer.target.tokens is None:
        return nothing
    sizes = [size for size in answer.sizes if size.learnt]
    unit = unit[[size.learnt for size in answer.sizes]]
    n = np.array([size.group.params for size in sizes], dtype=np.float64)
    d = np.array([size.group.tokens for size in sizes], dtype=np.float64)
    data = points_of(sizes, "collapse", unit)
    target = float(answer.target.params), float(answer.target.tokens)
    fitted = fit_laws({law.name: law}, Sizes(n, d, target), data, seed=0)
    if not fitted:
        return nothing
    fit = fitted[0].fit
    grid = np.geomspace(min(n.min(), answer.target.params), max(n.max(), answer.target.params), points)
    known_n, place = np.unique(np.append(n, answer.target.params), return_inverse=True)
    sums = np.bincount(place, np.log(np.append(d, answer.target.tokens)))
    tokens = np.exp(np.interp(np.log(grid), np.log(known_n), sums / np.bincount(place)))
    tail = (1 - answer.confidence) / 2
    at = (tail, 0.5, 1 - tail)
    limits = []
    for row in law.features(grid, tokens):
        draws = fit.predict(row, np.random.default_rng(1))  # the same draws at every N, so that the line is smooth
        limits.append([quantile(draws, fit.weights, part) for part in at])
    low, middle, high = np.exp(np.array(limits)).T
    return grid, middle, np.array([low, high])
