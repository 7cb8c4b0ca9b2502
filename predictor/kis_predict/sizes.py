"""Peak and collapse point of every size, each with its interval, or the censoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc

from kis_predict import gate
from kis_predict.amounts import short
from kis_predict.noise import Noise, dips, overdispersion, with_noise
from kis_predict.observed import ObservedRun
from kis_predict.pooling import Curve, Pooled, pool
from kis_predict.sag import sag
from kis_predict.sweep import FEWEST_FREQUENCIES, Group
from kis_predict.twoline import TwoLines, fit_two_lines

__all__ = ["SizeEstimate", "estimate_sizes"]

Array = npt.NDArray[np.float64]

SIGNIFICANCE = 0.05
_UNSURE = 0.5
"""Up to here, the median without a fall, none is shown nor excluded: the size says only where its peak is."""
_PLAIN = 1e-5
"""A fall that is this significant does not rest on one run."""
_ELSEWHERE = 1e-3
"""Nor does one in a sweep whose other sizes fall, taken together, this significantly: that they collapse is known."""
_HALF_DECADE = float(np.log(10) / 2)
_BEYOND = 2
"""Distinct frequencies that must have fallen before a fall counts as one: a single low run proves nothing."""


@dataclass(frozen=True)
class SizeEstimate:
    """What one group says. Frequencies are natural logarithms.

    Attributes:
        group: Its runs.
        log_peak: log F_opt; only a lower bound where the group is right-censored, an upper one where left-censored.
        log_peak_interval: Its interval.
        log_peak_sd: Its standard error.
        log_collapse: log F_c, or the bound that it lies beyond.
        log_collapse_interval: Its interval; infinite on the open side where censored.
        log_collapse_sd: Its standard error; that of the bound where censored.
        censored: None where a collapse was observed.
        peak_retention: Retention at the peak.
        parameters: The fitted gate, (6,), without a fall where right-censored.
        shape: Name of its S.
        two_lines: The second estimate, if it found a fall.
        p_value: Of the likelihood-ratio test of the gate against a rise alone.
        warnings: What a reader should know about this group.
        earlier: By how much lower the collapse point may lie, as likely as not, since tops sag; the same at all sizes.
    """

    group: Group
    log_peak: float
    log_peak_interval: tuple[float, float]
    log_peak_sd: float
    log_collapse: float
    log_collapse_interval: tuple[float, float]
    log_collapse_sd: float
    censored: Literal["left", "right"] | None
    peak_retention: float
    parameters: Array
    shape: str
    two_lines: TwoLines | None
    p_value: float
    warnings: tuple[str, ...] = ()
    earlier: float = 0.0


def estimate_sizes(groups: Sequence[Group], bootstraps: int, seed: int, confidence: float) -> list[SizeEstimate]:
    """Estimate every group. Noise, shape parameters and the choice of S are estimated over all of them."""
    if not groups:
        return []
    sound, warnings = zip(*(_without_dips(group) for group in groups), strict=True)
    plain = [Curve(*with_noise(group, 0.0), group.chance) for group in sound]
    first = min((pool(plain, shape) for shape in gate.SHAPES.values()), key=lambda pooled: pooled.score)
    noise = overdispersion(sound, first)
    curves = [Curve(*with_noise(group, noise.rho), group.chance) for group in sound]
    pools = [pool(curves, shape) for shape in gate.SHAPES.values()]
    pools.append(pool(curves, gate.sharp, peaked=True))
    pools.sort(key=lambda pooled: pooled.score)
    weights = np.exp([pools[0].score - pooled.score for pooled in pools])
    weights /= weights.sum()
    rises = [_rise(curve, pools[0]) for curve in curves]
    gains = [rise.deviance[0] - pools[0].fits.deviance[at] for at, rise in enumerate(rises)]
    sizes = [
        _estimate(group, kept, curve, at, pools, weights, bootstraps, seed, confidence, noise, rises[at], gains)
        for at, (group, kept, curve) in enumerate(zip(groups, sound, curves, strict=True))
    ]
    earlier = sag(curves, pools[0])
    if earlier:
        sizes = [_sagging(size, earlier) for size in sizes]
        line = (
            "Retention sinks slowly before it collapses, over all sizes together: the collapse points may lie up to "
            f"{np.exp(earlier):.2g} times lower than the fits say, which is held for as likely; add seeds there"
        )
        sizes[0] = replace(sizes[0], warnings=(line, *sizes[0].warnings))
    return [
        replace(size, warnings=(*told, *size.warnings)) if told else size
        for size, told in zip(sizes, warnings, strict=True)
    ]


def _sagging(size: SizeEstimate, earlier: float) -> SizeEstimate:
    """Return the estimate with an interval that holds a collapse point so much lower."""
    if size.censored is not None:
        return replace(size, earlier=earlier)
    low, high = size.log_collapse_interval
    return replace(size, log_collapse_interval=(min(low, size.log_collapse - earlier), high), earlier=earlier)


def _without_dips(group: Group) -> tuple[Group, tuple[str, ...]]:
    """Return the group without the runs that fall out of its row, and a line that names them."""
    out = np.exp(group.points()[0][dips(group)])
    if not len(out) or len(group.points()[0]) - len(out) < FEWEST_FREQUENCIES:
        return group, ()
    kept = tuple(run for run in group.runs if not np.isclose(run.frequency, out, rtol=1e-9).any())
    named = ", ".join(short(frequency) for frequency in out)
    line = f"{group.label()}: retention at F={named} is far below that on both sides: taken for broken and not fitted"
    return replace(group, runs=kept), (line,)


def _estimate(
    group: Group, sound: Group, curve: Curve, at: int, pools: Sequence[Pooled], weights: Array, bootstraps: int,
    seed: int, confidence: float, noise: Noise, rise: gate.Fits, gains: Sequence[float],
) -> SizeEstimate:  # fmt: skip
    x, best, rng = curve.x, pools[0], np.random.default_rng([seed, at])
    full = best.of(at)[0]
    p_value = _p_value(gains[at : at + 1], noise)
    others = _p_value([*gains[:at], *gains[at + 1 :]], noise)
    two_lines = fit_two_lines(x, curve.retention, curve.n, curve.chance)
    tops = [gate.critical_points(pooled.of(at)[0], x, curve.chance, pooled.shape) for pooled in pools]
    log_peak = float(sum(weight * top[0][0] for weight, top in zip(weights, tops, strict=True)))
    bounded = [min(float(top[1][0]), float(x[-1]) + _HALF_DECADE) for top in tops]
    log_collapse = float(weights @ bounded)
    falls = p_value < SIGNIFICANCE and log_collapse <= x[-1]
    doubt = ""
    if falls and np.count_nonzero(x > log_collapse) < _BEYOND:
        doubt = "retention falls at the last frequency only; a collapse needs two"
    elif falls and p_value > _PLAIN and others > _ELSEWHERE and _without_best(sound, best, at, noise) > SIGNIFICANCE:
        top = short(_best_run(sound).frequency)
        doubt = f"the fall rests on the one good result at F={top}; add seeds there, it is not taken for a collapse"
    elif not falls and p_value < _UNSURE and log_collapse <= x[-1]:
        doubt = f"retention seems to fall (p = {p_value:.2g}), too little for a collapse and for none; add seeds there"
    if not falls or doubt:
        fitted = full if doubt else rise.parameters
        return _right_censored(group, curve, best.shape, fitted, two_lines, p_value, log_peak, doubt)
    share = np.round(weights * bootstraps).astype(int)
    samples = [
        gate.critical_points(_resample(curve, pooled, at, count, rng, noise.freedom), x, curve.chance, pooled.shape)
        for pooled, count in zip(pools, share, strict=True)
        if count
    ]
    peaks = np.concatenate([sample[0] for sample in samples])
    collapses = np.minimum(np.concatenate([sample[1] for sample in samples]), x[-1] + _HALF_DECADE)
    collapse_sd = _standard_error(collapses, curve.step)
    left = log_peak <= x[0] + 0.01 * curve.step and log_collapse <= x[1]
    warnings = []
    if not left and two_lines and abs(two_lines.log_collapse - log_collapse) > curve.step:
        warnings.append(
            f"{group.label()}: the estimators disagree by more than a grid step on the collapse point "
            f"(gate {short(np.exp(log_collapse))}, two lines {short(np.exp(two_lines.log_collapse))}): "
            "add frequencies there"
        )
    tail = [(1 - confidence) / 2, (1 + confidence) / 2]
    return SizeEstimate(
        group=group,
        log_peak=float(x[0]) if left else log_peak,
        log_peak_interval=(-np.inf, float(x[0])) if left else _around(peaks, tail, log_peak),
        log_peak_sd=0.5 * curve.step if left else _standard_error(peaks, curve.step),
        log_collapse=log_collapse,
        log_collapse_interval=(-np.inf, log_collapse) if left else _around(collapses, tail, log_collapse),
        log_collapse_sd=collapse_sd,
        censored="left" if left else None,
        peak_retention=float(tops[0][2][0]),
        parameters=full[0],
        shape=_name(best.shape),
        two_lines=two_lines,
        p_value=p_value,
        warnings=tuple(warnings),
    )


def _rise(curve: Curve, pooled: Pooled) -> gate.Fits:
    """Return the rise alone, fitted under its own weak prior: the shared shape is that of curves that fall."""
    prior = gate.weak_prior(curve.x).without_fall()
    start = gate.starts(curve.x, prior.mean)
    return gate.fit(curve.x, curve.retention, curve.n, curve.chance, pooled.shape, start, prior).best()


def _p_value(gains: Sequence[float], noise: Noise) -> float:
    """Return that of falls at some sizes, together, that lower the deviance by ``gains``.

    F for chi-squared, as the noise is estimated too.
    """
    if not gains:
        return 1.0
    freedom = 3 * len(gains)
    return float(fdtrc(freedom, noise.freedom, sum(max(0.0, gain) for gain in gains) / freedom))


def _best_run(group: Group) -> ObservedRun:
    return max(group.runs, key=lambda run: run.retention or 0.0)


def _without_best(group: Group, pooled: Pooled, at: int, noise: Noise) -> float:
    """Return the p-value of the fall without the best run: a lucky one alone shows no collapse."""
    best = _best_run(group)
    others = replace(group, runs=tuple(run for run in group.runs if run is not best))
    rest = Curve(*with_noise(others, noise.rho), group.chance)
    prior = pooled.of(at)[1]
    start = gate.starts(rest.x, prior.mean)
    fallen = gate.fit(rest.x, rest.retention, rest.n, rest.chance, pooled.shape, start, prior).best()
    return _p_value([_rise(rest, pooled).deviance[0] - fallen.deviance[0]], noise)


def _right_censored(
    group: Group, curve: Curve, shape: gate.Shape, fitted: Array, two_lines: TwoLines | None, p_value: float,
    log_peak: float, doubt: str,
) -> SizeEstimate:  # fmt: skip
    """Return what is known of a size that did not collapse, or whose fall is in doubt: then only up to its peak.

    The bounds are blurred by half a grid step: a fall that has just begun hides in the noise.
    """
    x = curve.x
    grid = np.linspace(x[0], x[-1], 400)
    level = gate.curve(fitted, grid, curve.chance, shape)[0]
    height = level.max() - curve.chance
    # The peak is sought from the first frequency on.
    bound = float(x[x <= log_peak + 1e-9][-1] if doubt else x[-1])
    # Where retention has all but stopped rising, the peak may lie anywhere further on.
    risen = float(grid[np.argmax(level >= level.max() - gate.DROP * height)])
    return SizeEstimate(
        group=group,
        log_peak=min(risen, bound),
        log_peak_interval=(min(risen, bound), np.inf),
        log_peak_sd=0.5 * curve.step,
        log_collapse=bound,
        log_collapse_interval=(bound, np.inf),
        log_collapse_sd=0.5 * curve.step,
        censored="right",
        peak_retention=float(level.max()),
        parameters=fitted[0],
        shape=_name(shape),
        two_lines=two_lines,
        p_value=p_value,
        warnings=(f"{group.label()}: {doubt}",) if doubt else (),
    )


def _resample(curve: Curve, pooled: Pooled, at: int, count: int, rng: np.random.Generator, freedom: float) -> Array:
    """Return gates, (count, 6), fitted to data drawn from the fitted one: a parametric bootstrap over probes and seeds.

    The common shape is drawn anew too, within its standard error, and so is the noise, of ``freedom`` degrees.
    """
    fitted, prior = pooled.of(at)
    p = gate.curve(fitted, curve.x, curve.chance, pooled.shape)[0]
    scale = rng.chisquare(freedom, size=(count, 1)) / freedom
    n = np.maximum(1, np.round(curve.n * scale)).astype(np.int64)
    drawn = rng.binomial(n, p) / n  # (count, M)
    means = prior.mean + pooled.doubt * rng.standard_normal((count, 6))
    start = np.repeat(fitted, count, axis=0)
    prior = replace(prior, mean=means)
    return gate.fit(curve.x, drawn, curve.n, curve.chance, pooled.shape, start, prior).parameters


def _around(samples: Array, tail: Sequence[float], value: float) -> tuple[float, float]:
    low, high = (float(end) for end in np.quantile(samples, tail))
    return min(low, value), max(high, value)


def _name(shape: gate.Shape) -> str:
    return next(name for name, each in gate.SHAPES.items() if each is shape)


def _standard_error(samples: Array, step: float) -> float:
    """Return half the width of the central 68 %, so that a few runaway fits do not make a good size count for nothing.

    The law's own scatter, estimated over all sizes, answers for the rest. Never below a tenth of a grid step: between
    its points no curve is known better than that, whatever its model says.
    """
    low, high = np.quantile(samples, [0.16, 0.84])
    return max(float(high - low) / 2, 0.1 * step)
