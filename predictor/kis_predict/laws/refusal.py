"""When an answer would be no guide: the rules by which a prediction is refused, each with what is missing.

The rule for extrapolation: laws are fitted to every prefix of sizes and predict the next size. Their typical log error
is taken to grow in proportion to the distance in log N. The target may lie at most so far away that this error
reaches a factor of 3, and never more than a factor of 100 beyond the largest size unless the request says ``far``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from kis_plugin.amounts import round_down, short
from kis_predict.laws.selection import Candidate
from kis_predict.prediction import PrefixError, Retained
from kis_predict.sweep import MOST_SHARE

__all__ = [
    "LOSS", "MOST_ERROR", "MOST_FAR", "MOST_WIDTH", "RISK", "amount_refusals", "collapse_stands", "prefix_errors",
    "refusals", "supported_distance",
]  # fmt: skip

MOST_FAR = 100.0
"""Times the largest observed size that a target may have."""
MOST_WIDTH = 30.0
"""Ratio of the interval's ends."""
MOST_ERROR = 3.0
"""Factor by which a prefix may miss the next size, and by which the target may be expected to be missed."""
RISK, LOSS = "collapse risk", "rise of general loss"
"""What may limit an amount."""
_LEAST_ERROR = 0.02
_OF_THREE_SIZES = 10.0
"""Times the largest size that a target may have where three sizes leave no prefix to judge by."""
_RISEN = 0.25
"""Part of the peak's height below which an amount on the rising side is below the rise."""
_SETTLED = 3
"""Sizes from which on a prefix says how well laws extrapolate: two sizes alone determine no law."""


def prefix_errors(candidates: Sequence[Candidate], params: Sequence[float]) -> tuple[PrefixError, ...]:
    """Return the errors of the mixture at every size beyond the first two, smallest first.

    At each step the laws are weighed by their scores at the steps before it: no size helps to predict itself.

    Args:
        candidates: The laws, with their steps.
        params: N of the observed groups.
    """
    out: list[PrefixError] = []
    log_weight = np.log([each.prior for each in candidates])
    for at in range(max((len(each.steps) for each in candidates), default=0)):
        steps = [each.steps[at] for each in candidates]
        weight = np.exp(log_weight - log_weight.max())
        log_weight = log_weight + np.array([step.log_score for step in steps])
        # Two sizes determine no bend: there only straight laws count.
        straight = [each.bend is None and not len(each.shrinkage.at) for each in candidates]
        usable = [
            i for i, step in enumerate(steps)
            if np.isfinite(step.predicted).any() and (step.sizes >= _SETTLED or straight[i])
        ]  # fmt: skip
        if not usable or not steps[0].upward:
            continue
        share = weight[usable] / weight[usable].sum()
        # In exposures, whatever the law's own axis: the unit is the same on both sides and cancels.
        errors = np.array([steps[i].predicted - steps[i].observed for i in usable])
        mixed = share @ errors
        worst = int(np.nanargmax(np.abs(mixed)))
        base = next((errors[k][worst] for k, i in enumerate(usable) if candidates[i].law.name == "share"), None)
        below = max(value for value in params if value < steps[0].params)
        out.append(
            PrefixError(
                steps[0].params, steps[0].sizes, float(mixed[worst]), float(np.log(steps[0].params / below)),
                None if base is None else float(base),
            )
        )  # fmt: skip
    return tuple(out)


def supported_distance(errors: Sequence[PrefixError]) -> float:
    """Return how many times the largest size a target may have, by the errors of prefixes of three sizes or more."""
    settled = [each for each in errors if each.sizes >= _SETTLED]
    if not settled:
        return _OF_THREE_SIZES
    # Errors as rates: nats of error for each nat of log N between the prefix and the size.
    # The median, so that one broken size does not decide.
    rate = np.median([max(abs(each.log_error), _LEAST_ERROR) / each.distance for each in settled])
    return float(np.exp(min(np.log(MOST_ERROR) / rate, 50.0)))


def refusals(
    errors: Sequence[PrefixError], extrapolation: float, low: float, high: float, far: bool, below: float = 0.0
) -> list[str]:  # fmt: skip
    """Return why the law's answer would be no guide, each with what would mend it; empty if it is one.

    Args:
        errors: Of every prefix.
        extrapolation: N of the target by the largest N with an observed collapse.
        low: Lower end of the interval of F_c.
        high: Upper end.
        far: Whether the hard bound on the extrapolation is lifted.
        below: The smallest N with an observed collapse by N of the target: errors carry as far down as up.
    """
    lines = []
    supported = supported_distance(errors)
    distance = max(extrapolation, below)
    up = extrapolation >= below
    what = f"{short(distance)} times the largest" if up else f"1/{short(distance)} of the smallest"
    where = f"The target is {what} size with an observed collapse"
    if distance > MOST_FAR and not far:
        sizes = "larger" if up else "smaller"
        lines.append(f"{where}, and {MOST_FAR:g} times is the limit: sweep {sizes} sizes, or insist with --far")
    elif distance > supported and not far:
        size = f"1/{short(supported)} of the target or more" if up else f"{short(supported)} times the target or less"
        lines.append(
            f"{where}. By how smaller sizes predicted larger ones, errors stay within a factor of {MOST_ERROR:g} up to "
            f"{short(supported)} times: sweep a size of {size}, or insist with --far"
        )
    last = errors[-1] if errors and errors[-1].sizes >= _SETTLED else None
    if last is not None and abs(last.log_error) > np.log(MOST_ERROR) and not far:
        lines.append(
            f"N={short(last.params)} was missed by a factor of {np.exp(abs(last.log_error)):.3g} from the sizes below "
            f"it, and {MOST_ERROR:g} is the limit: add seeds and frequencies there, or a size beside it"
        )
    if high / low > MOST_WIDTH:
        lines.append(
            f"The interval of the collapse point, {short(low)} to {short(high)}, is a factor {short(high / low)} wide, "
            f"and {MOST_WIDTH:g} is the limit: add sizes nearer to the target, a second budget, or seeds (--next K)"
        )
    return lines


def amount_refusals(
    limits: Mapping[str, float], one_exposure: float | None, kept: Retained, peak: float, off_rule: bool,
    max_loss_rise: float = math.nan,
) -> list[str]:  # fmt: skip
    """Return why the recommended amount, the least of ``limits``, would be no guide; empty if it is one.

    Args:
        limits: What each consideration allows, F by name.
        one_exposure: Share of D that one exposure of every fact takes, None if unknown.
        kept: What is retained at the least of them.
        peak: F_opt at the target.
        off_rule: Whether the lower of two limits is kept as the sweep cannot tell them apart: then the amount is low
            by intent.
        max_loss_rise: Rise of general loss that one of the limits is for, nats.
    """
    binding = min(limits, key=lambda name: limits[name])
    frequency = limits[binding]
    if one_exposure is not None and one_exposure > MOST_SHARE:
        return [
            f"One exposure of every fact takes a share of {one_exposure:.3g} of D, more than {MOST_SHARE:g}: infuse "
            "fewer facts (--facts), or train on more tokens (--tokens)"
        ]
    forgets = binding == LOSS
    more = min(value for name, value in limits.items() if name != LOSS)
    instead = f"accept a greater --max-loss-rise (collapse alone would allow F={short(round_down(more))})"
    if frequency < 1:
        mend = instead if forgets else "infuse fewer facts, or narrow the interval by sizes nearer to the target"
        return [
            f"The amount comes to {frequency:.3g} exposures of each fact, less than one (limited by: {binding}): {mend}"
        ]
    if kept.of_peak < _RISEN and frequency < peak and not (off_rule and not forgets):
        little = f"retention has hardly begun to rise ({kept.of_peak:.0%} of the peak's height)"
        if forgets:
            rise = f"General loss may rise by {max_loss_rise:g} nats from F={short(frequency)} on"
            return [f"{rise}, and there {little}: {instead}"]
        mend = "add sizes nearer to the target, or accept a greater --risk"
        if binding != RISK:
            mend = "infuse fewer facts (--facts), or train on more tokens (--tokens)"
        return [f"At F={short(frequency)}, the greatest amount by {binding}, {little}: {mend}"]
    return []


def collapse_stands(risk_limit: float, one_exposure: float | None) -> bool:
    """Return whether the predicted collapse is a guide even where the recommended amount is none.

    It is where an amount that keeps to the risk of collapse alone could be infused.
    """
    return risk_limit >= 1 and (one_exposure is None or one_exposure <= MOST_SHARE)
