"""Peak and collapse point of every size, each with its interval, or the censoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from kis_predict import gate
from kis_predict.noise import overdispersion, with_noise
from kis_predict.sweep import Group
from kis_predict.twoline import TwoLines, fit_two_lines

__all__ = ["SizeEstimate", "estimate_sizes"]

Array = npt.NDArray[np.float64]

SIGNIFICANCE = 0.05
_BEYOND = 2
"""Distinct frequencies that must lie beyond the peak before a fall counts as one."""


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
        two_lines: The second estimate, if it found a fall.
        p_value: Of the likelihood-ratio test of the gate against a rise alone.
        warnings: What a reader should know about this group.
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
    two_lines: TwoLines | None
    p_value: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Data:
    """One group as arrays over its distinct frequencies, (M,): n are effective probes."""

    group: Group
    x: Array
    retention: Array
    n: Array

    @property
    def step(self) -> float:
        """The median gap of the grid in log F."""
        return float(np.median(np.diff(self.x)))


def estimate_sizes(groups: Sequence[Group], bootstraps: int, seed: int, confidence: float) -> list[SizeEstimate]:
    """Estimate every group; the noise beyond binomial is estimated once, over all of them."""
    priors = [gate.weak_prior(group.points()[0]) for group in groups]
    plain = [_Data(group, *with_noise(group, 0.0)) for group in groups]
    first = [_best(data, prior) for data, prior in zip(plain, priors, strict=True)]
    spread = overdispersion(groups, [fit.parameters for fit in first], priors)
    noisy = [_Data(group, *with_noise(group, spread)) for group in groups]
    fits = [_best(data, prior) for data, prior in zip(noisy, priors, strict=True)]
    return [
        _estimate(data, prior, fit, bootstraps, np.random.default_rng([seed, at]), confidence)
        for at, (data, prior, fit) in enumerate(zip(noisy, priors, fits, strict=True))
    ]


def _best(data: _Data, prior: gate.Prior) -> gate.Fits:
    start = gate.starts(data.x, prior)
    return gate.fit(data.x, data.retention, data.n, data.group.chance, start, prior).best()


def _estimate(
    data: _Data, prior: gate.Prior, full: gate.Fits, bootstraps: int, rng: np.random.Generator, confidence: float
) -> SizeEstimate:
    chance, x = data.group.chance, data.x
    rise_prior = prior.without_fall()
    rise = _best(data, rise_prior)
    p_value = float(chi2.sf(max(0.0, rise.deviance[0] - full.deviance[0]), df=3))
    log_peak, log_collapse, _ = (float(value[0]) for value in gate.critical_points(full.parameters, x, chance))
    two_lines = fit_two_lines(x, data.retention, data.n, chance)
    falls = p_value < SIGNIFICANCE and log_collapse <= x[-1]
    enough = np.count_nonzero(x > log_peak) >= _BEYOND
    fitted, used = (full, prior) if falls else (rise, rise_prior)
    samples = _resample(data, used, fitted, bootstraps, rng)
    peaks, collapses, _ = gate.critical_points(samples, x, chance)
    tail = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    peak_now, _, height = (float(value[0]) for value in gate.critical_points(fitted.parameters, x, chance))
    warnings: list[str] = []
    low, high = (float(value) for value in np.quantile(peaks, tail))
    peak_sd = _standard_error(peaks, data.step)
    if not (falls and enough):
        bound = float(x[-1])
        if falls:
            bound = float(x[x <= log_peak][-1]) if (x <= log_peak).any() else float(x[0])
            warnings.append(f"{data.group.label()}: only one frequency lies beyond the peak; a collapse needs two")
        # Retention only rises, so the best tested frequency is the most that is known of the peak.
        at_peak, peak_interval = (log_peak, (low, high)) if falls else (bound, (bound, np.inf))
        return SizeEstimate(
            data.group, at_peak, peak_interval, 0.5 * data.step, bound, (bound, np.inf), 0.5 * data.step, "right",
            height, fitted.parameters[0], two_lines, p_value, tuple(warnings),
        )  # fmt: skip
    collapses = np.minimum(collapses, x[-1] + np.log(10) / 2)
    collapse_sd = _standard_error(collapses, data.step)
    if log_peak <= x[0] + 1e-6 and log_collapse <= x[1]:
        return SizeEstimate(
            data.group, float(x[0]), (-np.inf, float(x[0])), 0.5 * data.step, log_collapse, (-np.inf, log_collapse),
            collapse_sd, "left", height, fitted.parameters[0], two_lines, p_value,
        )  # fmt: skip
    if two_lines and abs(two_lines.log_collapse - log_collapse) > data.step:
        gap = np.exp(two_lines.log_collapse)
        warnings.append(
            f"{data.group.label()}: the estimators disagree by more than a grid step on the collapse point "
            f"(gate {np.exp(log_collapse):,.3g}, two lines {gap:,.3g}): add frequencies there"
        )
        collapse_sd = float(np.hypot(collapse_sd, 0.5 * (abs(two_lines.log_collapse - log_collapse) - data.step)))
    c_low, c_high = (float(value) for value in np.quantile(collapses, tail))
    return SizeEstimate(
        data.group, peak_now, (low, high), peak_sd, log_collapse, (min(c_low, log_collapse), max(c_high, log_collapse)),
        collapse_sd, None, height, fitted.parameters[0], two_lines, p_value, tuple(warnings),
    )  # fmt: skip


def _resample(data: _Data, prior: gate.Prior, fitted: gate.Fits, bootstraps: int, rng: np.random.Generator) -> Array:
    """Return gates, (B, 6), fitted to data drawn from the fitted one: a parametric bootstrap over probes and seeds."""
    p = gate.curve(fitted.parameters, data.x, data.group.chance)[0]
    n = np.maximum(1, np.round(data.n)).astype(np.int64)
    drawn = rng.binomial(n, p, size=(bootstraps, len(p))) / n  # (B, M)
    start = np.repeat(fitted.parameters, bootstraps, axis=0)
    return gate.fit(data.x, drawn, data.n, data.group.chance, start, prior).parameters


def _standard_error(samples: Array, step: float) -> float:
    """Return half the width of the central 90 % over 1.645: a few runaway fits do not count, long tails do.

    Never below a tenth of a grid step: between its points no curve is known better than that, whatever its model says.
    """
    low, high = np.quantile(samples, [0.05, 0.95])
    return max(float(high - low) / (2 * 1.645), 0.1 * step)
