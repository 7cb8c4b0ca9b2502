"""Peak and collapse point of every size, each with its interval, or the censoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from kis_plugin.amounts import short
from kis_predict.curves import rise_fall
from kis_predict.curves.collapse_test import gain_without_best, p_value_of, rise_alone
from kis_predict.curves.intervals import around, standard_error, widened
from kis_predict.curves.never_learnt import above_chance, rise_is_over
from kis_predict.curves.noise import USUAL_RHO, Noise, dips, overdispersion, second_rise, with_noise
from kis_predict.curves.pooling import Curve, Pooled, pool
from kis_predict.curves.slow_decline import slow_decline
from kis_predict.curves.two_lines import TwoLines, fit_two_lines
from kis_predict.sweep import FEWEST_FREQUENCIES, Group
from kis_predict.watch import Watch, unwatched

__all__ = ["SizeEstimate", "estimate_sizes"]

Array = npt.NDArray[np.float64]

SURE = 100.0
"""Odds from which a size is read one way only."""
_UNSURE = 0.5
"""Up to this p-value, the median without a fall, one at the last frequency alone is held for possible."""
_PLAIN = 1e-5
"""A fall that is this significant does not rest on one run."""
_ELSEWHERE = 1e-3
"""Nor does one in a sweep whose other sizes fall, taken together, this significantly: that they collapse is known."""
_FIRST = ("smooth", "weibull", "sharp")
"""Shapes that the noise is estimated with."""
TRUST = 0.3
"""Power of the evidence by which curve families are weighed: all of them are wrong, so none may win outright."""
_REDRAWN = 0.7
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
        parameters: The fitted rise-fall curve, (6,), without a fall where right-censored.
        shape: Name of its S.
        two_lines: The second estimate, if it found a fall.
        p_value: Of the likelihood-ratio test of the curve against a rise alone.
        warnings: What a reader should know about this group.
        earlier: By how much lower the collapse point may lie, as likely as not, nats: where retention declines slowly
            before the collapse; the same at all sizes.
        odds: That it collapsed, by its own runs; None where they leave no doubt.
        other: The other reading, where they do: a collapse for a bound, or a bound for a collapse.
        log_weight: By how much likelier that makes the runs, nats; that of a collapse is a density in log F_c.
        log_gap: log(log F_c - log F_opt), where a collapse was observed.
        log_gap_sd: Its standard error.
        learnt: Whether retention rose above chance, and its rise ended, inside the tested range. A size that never
            learnt says nothing, and enters nothing.
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
    odds: float | None = None
    other: SizeEstimate | None = None
    log_weight: float = -np.inf
    log_gap: float = 0.0
    log_gap_sd: float = 1.0
    learnt: bool = True


def estimate_sizes(
    groups: Sequence[Group], bootstraps: int, seed: int, confidence: float, watch: Watch = unwatched
) -> list[SizeEstimate]:  # fmt: skip
    """Estimate every group. Noise, shape parameters and the choice of S are estimated over all of them."""
    if not groups:
        return []
    checked = [_without_dips(group) for group in groups]
    usual = [Curve(*with_noise(group, USUAL_RHO), group.chance) for group, _ in checked]
    rising = [above_chance(curve.retention, curve.n, curve.chance) for curve in usual]
    blank = {
        at: _never_learnt(groups[at], usual[at], "never above chance") for at in range(len(groups)) if not rising[at]
    }
    if len(blank) == len(groups):
        return list(blank.values())
    # Sizes that never learnt are left out before anything is shared between sizes.
    learning = [at for at in range(len(groups)) if rising[at]]
    estimates = _estimate_learning(
        [groups[at] for at in learning], [checked[at] for at in learning], bootstraps, seed, confidence, watch
    )
    found = dict(zip(learning, estimates, strict=True))
    return [blank[at] if at in blank else found[at] for at in range(len(groups))]


def _never_learnt(group: Group, curve: Curve, reason: str) -> SizeEstimate:
    """Return the estimate of a size that says nothing."""
    parameters = rise_fall.weak_prior(curve.x).without_fall().mean
    parameters[rise_fall.HEIGHT] = -16.0
    last = float(curve.x[-1])
    return SizeEstimate(
        group=group, log_peak=last, log_peak_interval=(-np.inf, np.inf), log_peak_sd=np.inf, log_collapse=last,
        log_collapse_interval=(-np.inf, np.inf), log_collapse_sd=np.inf, censored="right",
        peak_retention=float(curve.retention.max()), parameters=parameters, shape="smooth", two_lines=None, p_value=1.0,
        warnings=(f"{group.label()} never learnt ({reason}) and enters nothing: add greater F, or more tokens",),
        learnt=False,
    )  # fmt: skip


def _estimate_learning(
    groups: Sequence[Group], checked: Sequence[tuple[Group, tuple[str, ...]]], bootstraps: int, seed: int,
    confidence: float, watch: Watch,
) -> list[SizeEstimate]:  # fmt: skip
    """Estimate the groups that rise above chance."""
    sound, notes = zip(*checked, strict=True)
    # Noise and curves need each other: curves are fitted as if noise were binomial, the noise is estimated from how the
    # runs leave them, and all curves are fitted again with it.
    plain = [Curve(*with_noise(group, 0.0), group.chance) for group in sound]
    first = min((pool(plain, rise_fall.SHAPES[name]) for name in _FIRST), key=lambda pooled: pooled.score)
    noise = overdispersion(sound, first)
    curves = [Curve(*with_noise(group, noise.rho), group.chance) for group in sound]
    pools = []
    for done, shape in enumerate(rise_fall.SHAPES.values()):
        watch("Fitting curves", done, len(rise_fall.SHAPES))
        pools.append(pool(curves, shape))
    pools.sort(key=lambda pooled: pooled.score)
    # Weights of curve families: exp of the evidence, tempered by TRUST.
    weights = np.exp([TRUST * (pools[0].score - pooled.score) for pooled in pools])
    weights /= weights.sum()
    # By how much the fall lowers each size's deviance: the statistic of the collapse test.
    rises = [rise_alone(curve, pools[0]) for curve in curves]
    gains = [rise.deviance[0] - pools[0].fits.deviance[at] for at, rise in enumerate(rises)]
    sizes = []
    for at, (group, kept, curve) in enumerate(zip(groups, sound, curves, strict=True)):
        watch("Resampling sizes", at, len(groups))
        sizes.append(
            _estimate(group, kept, curve, at, pools, weights, bootstraps, seed, confidence, noise, rises[at], gains)
        )
    sizes = [
        _never_learnt(size.group, curve, "retention still rises at the greatest F")
        if size.censored == "right" and size.odds is None and not rise_is_over(rise.parameters, curve.x, pools[0].shape)
        else size
        for size, curve, rise in zip(sizes, curves, rises, strict=True)
    ]
    earlier = slow_decline(curves, pools[0])
    if earlier:
        sizes = [_with_slow_decline(size, earlier) for size in sizes]
        line = (
            "Retention declines slowly before it collapses, over all sizes together: the collapse points may lie up to "
            f"{np.exp(earlier):.2g} times lower than the fits say, which is taken to be as likely; add seeds there"
        )
        sizes[0] = replace(sizes[0], warnings=(line, *sizes[0].warnings))
    return [
        replace(size, warnings=(*lines, *size.warnings)) if lines else size
        for size, lines in zip(sizes, notes, strict=True)
    ]


def _with_slow_decline(size: SizeEstimate, earlier: float) -> SizeEstimate:
    """Return the estimate with an interval that holds a collapse point so much lower."""
    if size.censored is not None:
        return replace(size, earlier=earlier)
    low, high = size.log_collapse_interval
    return replace(size, log_collapse_interval=(min(low, size.log_collapse - earlier), high), earlier=earlier)


def _without_dips(group: Group) -> tuple[Group, tuple[str, ...]]:
    """Return the group without broken runs and without a second rise, and a line that names what is left out."""
    group, lines = _without_second_rise(group)
    out = np.exp(group.points()[0][dips(group)])
    if not len(out) or len(group.points()[0]) - len(out) < FEWEST_FREQUENCIES:
        return group, lines
    kept = tuple(run for run in group.runs if not np.isclose(run.frequency, out, rtol=1e-9).any())
    named = ", ".join(short(frequency) for frequency in out)
    line = f"{group.label()}: retention at F={named} is far below that on both sides: taken for broken and not fitted"
    return replace(group, runs=kept), (*lines, line)


def _without_second_rise(group: Group) -> tuple[Group, tuple[str, ...]]:
    """Return the group up to the valley after its collapse: what rises again beyond it is another regime."""
    x = group.points()[0]
    start = second_rise(group)
    if start is None or start < FEWEST_FREQUENCIES:
        return group, ()
    kept = tuple(run for run in group.runs if np.log(run.frequency) < x[start] - 1e-9)
    line = f"{group.label()}: retention rises again from F={short(np.exp(x[start]))} on: fitted up to there"
    return replace(group, runs=kept), (line,)


def _estimate(
    group: Group, sound: Group, curve: Curve, at: int, pools: Sequence[Pooled], weights: Array, bootstraps: int,
    seed: int, confidence: float, noise: Noise, rise: rise_fall.Fits, gains: Sequence[float],
) -> SizeEstimate:  # fmt: skip
    x, best, rng = curve.x, pools[0], np.random.default_rng([seed, at])
    full = best.of(at)[0]
    p_value = p_value_of(gains[at : at + 1], noise)
    others = p_value_of([*gains[:at], *gains[at + 1 :]], noise)
    two_lines = fit_two_lines(x, curve.retention, curve.n, curve.chance)
    tops = [rise_fall.critical_points(pooled.of(at)[0], x, curve.chance, pooled.shape) for pooled in pools]
    log_peak = float(sum(weight * top[0][0] for weight, top in zip(weights, tops, strict=True)))
    bounded = [min(float(top[1][0]), float(x[-1]) + _HALF_DECADE) for top in tops]
    # Averaged in log F over the families; none may place it further than half a decade beyond the last frequency.
    averaged = float(weights @ bounded)
    # Retention cannot have collapsed before the frequency where it is highest: what was measured bounds what is fitted.
    highest = float(x[np.argmax(curve.retention)])
    log_collapse, pushed = max(averaged, highest), max(0.0, highest - averaged)
    bound = _right_censored(group, curve, best.shape, rise.parameters, two_lines, p_value, log_peak)
    if log_collapse > x[-1]:
        return bound
    if np.count_nonzero(x > log_collapse) < _BEYOND:
        if p_value > _UNSURE:
            return bound
        doubt = f"{group.label()}: retention falls at the last frequency only; a collapse needs two"
        return _right_censored(group, curve, best.shape, full, two_lines, p_value, log_peak, doubt)
    # Each family gets bootstrap samples by its weight: so the interval holds the doubt about the family.
    share = np.round(weights * bootstraps).astype(int)
    samples = [
        rise_fall.critical_points(
            _resample(curve, pooled, at, count, rng, noise.freedom), x, curve.chance, pooled.shape
        )
        for pooled, count in zip(pools, share, strict=True)
        if count
    ]
    peaks = np.concatenate([sample[0] for sample in samples])
    collapses = np.minimum(np.concatenate([sample[1] for sample in samples]), x[-1] + _HALF_DECADE)
    gaps = np.log(np.maximum(collapses - peaks, 0.05 * curve.step))
    # Retention that falls from the first frequency on: the peak lies below what was tested.
    left = log_peak <= x[0] + 0.01 * curve.step and log_collapse <= x[1]
    warnings = []
    crossing = log_collapse if two_lines is None else min(two_lines.log_collapse, float(x[-1]) + _HALF_DECADE)
    if not left and abs(crossing - log_collapse) > curve.step:
        warnings.append(
            f"{group.label()}: the estimators disagree by more than a grid step on the collapse point "
            f"(rise-fall curve {short(np.exp(log_collapse))}, two lines {short(np.exp(crossing))}): "
            "add frequencies there"
        )
    tail = [(1 - confidence) / 2, (1 + confidence) / 2]
    fallen = SizeEstimate(
        group=group,
        log_peak=float(x[0]) if left else log_peak,
        log_peak_interval=(-np.inf, float(x[0])) if left else around(peaks, tail, log_peak),
        log_peak_sd=0.5 * curve.step if left else standard_error(peaks, curve.step),
        log_collapse=log_collapse,
        log_collapse_interval=(
            (-np.inf, log_collapse)
            if left
            else widened(around(collapses, tail, log_collapse + pushed), log_collapse, curve.step, tail)
        ),
        log_collapse_sd=float(np.hypot(standard_error(collapses, curve.step), pushed)),
        censored="left" if left else None,
        peak_retention=float(tops[0][2][0]),
        parameters=full[0],
        shape=_name(best.shape),
        two_lines=two_lines,
        p_value=p_value,
        warnings=tuple(warnings),
        log_gap=float(np.log(max(log_collapse - log_peak, 0.05 * curve.step))),
        log_gap_sd=max(float(np.diff(np.quantile(gaps, [0.16, 0.84]))[0]) / 2, 0.1),
    )
    gain = gains[at]
    if p_value > _PLAIN and others > _ELSEWHERE:
        gain = min(gain, gain_without_best(sound, best, at, noise))
    return _read_both_ways(fallen, bound, gain, noise, curve)


def _read_both_ways(fallen: SizeEstimate, bound: SizeEstimate, gain: float, noise: Noise, curve: Curve) -> SizeEstimate:
    """Return the likelier of a collapse and none, with the other where the runs leave it.

    The likelihood over log F_c is taken for a Gaussian about the collapse point, and for constant beyond the last
    frequency; ``gain`` says by how much its top lies above. Beforehand a collapse among the tested frequencies is as
    likely as none, and at all of them alike.
    """
    # Student's for the normal distribution, as the noise is estimated too.
    above = 0.5 * noise.freedom * np.log1p(max(gain / noise.freedom, -0.9))
    sd, ends = fallen.log_collapse_sd, curve.x[[0, -1]]
    inside = float(np.diff(ndtr((ends - fallen.log_collapse) / sd))[0])
    log_weight = float(above + np.log(sd * np.sqrt(2 * np.pi)))
    # Prior density of F_c: uniform in log F over the tested range, with the same mass as "no collapse".
    log_odds = log_weight + np.log(inside / max(ends[1] - ends[0], 1.0))
    if log_odds < -np.log(SURE) or (log_odds < 0 and fallen.censored == "left"):
        return bound
    if log_odds > np.log(SURE) or fallen.censored == "left":
        return fallen
    odds = float(np.exp(log_odds))
    first, other = (fallen, bound) if odds >= 1 else (bound, fallen)
    ratio = f"{odds:.2g} to 1" if odds >= 1 else f"1 to {1 / odds:.2g}"
    line = f"{first.group.label()}: odds of a collapse are {ratio}; the law weighs both readings, add seeds there"
    return replace(
        first, odds=odds, other=other, log_weight=-log_weight if odds >= 1 else log_weight,
        warnings=(*first.warnings, line),
    )  # fmt: skip


def _right_censored(
    group: Group, curve: Curve, shape: rise_fall.Shape, fitted: Array, two_lines: TwoLines | None, p_value: float,
    log_peak: float, doubt: str = "",
) -> SizeEstimate:  # fmt: skip
    """Return what is known of a size that did not collapse, or whose fall is no collapse yet: then only up to its peak.

    The bounds are blurred by half a grid step: a fall that has just begun hides in the noise.
    """
    x = curve.x
    grid = np.linspace(x[0], x[-1], 400)
    level = rise_fall.curve(fitted, grid, curve.chance, shape)[0]
    height = level.max() - curve.chance
    # The peak is sought from the first frequency on.
    highest = float(x[np.argmax(curve.retention)])
    bound = float(x[x <= max(log_peak, highest) + 1e-9][-1] if doubt else x[-1])
    # Where retention has all but stopped rising, the peak may lie anywhere further on.
    risen = float(grid[np.argmax(level >= level.max() - rise_fall.DROP * height)])
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
        warnings=(doubt,) if doubt else (),
    )


def _resample(curve: Curve, pooled: Pooled, at: int, count: int, rng: np.random.Generator, freedom: float) -> Array:
    """Return curves, (count, 6), fitted to data drawn from the fitted one: a parametric bootstrap of probes and seeds.

    The common shape is drawn anew too, within its standard error, and so is the noise, of ``freedom`` degrees.
    """
    fitted, prior = pooled.of(at)
    p = rise_fall.curve(fitted, curve.x, curve.chance, pooled.shape)[0]
    scale = rng.chisquare(freedom, size=(count, 1)) / freedom
    n = np.maximum(1, np.round(curve.n * scale)).astype(np.int64)
    drawn = rng.binomial(n, p) / n  # (count, M)
    # The prior is drawn anew as well (randomised maximum a posteriori): where the points leave a parameter open, as the
    # place of a cliff between two frequencies, the draws then fill the gap instead of repeating the best fit.
    spread = np.hypot(_REDRAWN * prior.sd, pooled.doubt) * (np.arange(6) != rise_fall.ONSET)
    means = prior.mean + spread * rng.standard_normal((count, 6))
    start = np.repeat(fitted, count, axis=0)
    prior = replace(prior, mean=means)
    return rise_fall.fit(curve.x, drawn, curve.n, curve.chance, pooled.shape, start, prior).parameters


def _name(shape: rise_fall.Shape) -> str:
    return next(name for name, each in rise_fall.SHAPES.items() if each is shape)
