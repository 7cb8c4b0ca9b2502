"""In what amounts compare across sizes: exposures per fact, or the share of D that is infused text.

Both say the same while facts, their length and the sweep's rule for D stay as they are: then a power law in one is a
power law in the other. They differ where the number of facts or their length differs between sizes, or where D follows
no power of N, as with two budgets at one size. Laws are fitted in both, and the prefixes of sizes weigh them
(``selection``); where the sweep cannot tell, both are in the answer and the recommendation keeps the lower limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from kis_plugin.amounts import short
from kis_plugin.errors import KISError, Problem
from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.laws.selection import Axis, Candidate, Sizes, Unit, at_risk
from kis_predict.prediction import AxisReport
from kis_predict.protocols import BudgetedLaw
from kis_predict.request import PredictionRequest
from kis_predict.sweep import Group

__all__ = [
    "axis_report",
    "axis_warnings",
    "caution_line",
    "safe_limit",
    "share_by_rule",
    "share_of_one_exposure",
    "units_of",
]

Array = npt.NDArray[np.float64]

_ALIKE = 1.05
_SAME = 0.01
_MOST_ODDS = 1000
_PLAIN_ODDS = 10.0
_COSTS = 0.05
"""From which loss of the amount on, nats, its reason is given."""
_HEARD = 0.05
"""Least weight of an axis for its limit to count where the lower one is kept."""


def share_of_one_exposure(groups: Iterable[Group]) -> Array | None:
    """Return the share of D that one exposure of every fact takes at each size, (groups,).

    None where a run does not say, or where it differs by more than 5 % between the runs of one size.
    """
    out = []
    for group in groups:
        shares = [run.infused_share() for run in group.runs]
        each = np.array([share / run.frequency for share, run in zip(shares, group.runs, strict=True) if share])
        if len(each) < len(shares) or each.max() > _ALIKE * each.min():
            return None
        out.append(float(np.median(each)))
    return np.array(out)


def units_of(
    request: PredictionRequest, sizes: Sequence[SizeEstimate], where: Sizes, one_exposure: float | None
) -> tuple[dict[Axis, Unit], str]:  # fmt: skip
    """Return the axes to fit laws on, and why one of them is not; empty where nothing keeps it out.

    Where no run says how many facts it infused, and the request does not either, they are taken to be the same
    everywhere: one exposure then takes a share in proportion to 1 / D.

    Args:
        request: May ask for one axis.
        sizes: The estimates.
        where: Groups and target.
        one_exposure: Share of D that one exposure of every fact takes at the target, None if unknown.

    Raises:
        KISError: The share is requested and not known.
    """
    # log amount = log F + offset: exposures have the offset 0, the share that of one exposure's tokens over D.
    frequency = Unit(np.zeros(len(sizes)), 0.0)
    per_exposure = share_of_one_exposure(size.group for size in sizes)
    lacking = ""
    share = None
    if per_exposure is not None and one_exposure is not None:
        share = Unit(np.log(per_exposure), float(np.log(one_exposure)))
    else:
        lacking = "facts and tokens_per_fact, or share, in every run" if per_exposure is None else "the target's facts"
        # With the same facts everywhere, one exposure takes a share in proportion to 1 / D. The constant is part of the
        # law's level, so it may be left out.
        silent = all(run.infused_share() is None for size in sizes for run in size.group.runs)
        if silent and request.facts is None and request.tokens_per_fact is None:
            share = Unit(-np.log(where.tokens), -float(np.log(where.target[1])))
    if request.axis == "share":
        if lacking or share is None:
            raise KISError(
                Problem("--axis", "share", lacking, "Name --facts and --tokens-per-fact, or use --axis frequency.")
            )
        return {"share": share}, ""
    if request.axis == "frequency" or share is None:
        return {"frequency": frequency}, f"the share cannot be judged without {lacking}" if lacking else ""
    return {"frequency": frequency, "share": share}, ""


def share_by_rule(where: Sizes, unit: Unit | None) -> float | None:
    """Return what one exposure would take of D at the target by the sweep's own facts and budgets.

    None where the share of one exposure is no power of N at the groups: then the sizes tell the axes apart. Otherwise a
    power law in exposures is one in the share, and no size can.
    """
    if unit is None:
        return None
    x = np.log(where.params)
    if len(np.unique(x)) < 2:
        return None
    # The share is a power of N exactly if its logarithm is a straight line in log N, at the groups that were trained.
    slope, level = np.polyfit(x, unit.at_groups, 1)
    if np.abs(level + slope * x - unit.at_groups).max() > _SAME:
        return None
    return float(np.exp(level + slope * np.log(where.target[0])))


def axis_report(
    request: PredictionRequest, candidates: Sequence[Candidate], where: Sizes, units: Mapping[Axis, Unit], lacking: str
) -> AxisReport:  # fmt: skip
    """Return the axis with the greater weight, why, and how sure that is."""
    # A law with an exponent of D holds both axes as special cases and takes no side.
    sides = [each for each in candidates if not isinstance(each.law, BudgetedLaw)] or candidates
    total = sum(each.weight for each in sides)
    weights: dict[str, float] = {
        axis: float(sum(each.weight for each in sides if each.axis == axis)) / total for axis in units
    }
    errors = {axis: _error(candidates, axis) for axis in ("frequency", "share")}
    by_rule = share_by_rule(where, units.get("share"))
    if request.axis != "auto":
        return AxisReport(request.axis, errors, "requested", by_rule=by_rule, weights=weights)
    if lacking or len(units) < 2:
        return AxisReport("frequency", errors, lacking, weights=weights)
    if by_rule is not None:
        reason = "facts and budgets of this sweep do not tell the axes apart: both are in the answer"
        return AxisReport("frequency", errors, reason, by_rule=by_rule, weights=weights)
    name: Axis = "frequency" if weights["frequency"] >= weights["share"] else "share"
    # Posterior odds of one axis against the other; the floor keeps them finite where one has all the weight.
    other = max(1.0 - weights[name], 1e-9)
    odds = min(weights[name] / other, float(_MOST_ODDS))
    said = f"more than {_MOST_ODDS:,}" if odds == _MOST_ODDS else short(odds)
    reason = f"it predicts larger sizes from smaller ones better, at odds of {said} to 1; both are in the answer"
    return AxisReport(name, errors, reason, odds, weights=weights)


def safe_limit(
    candidates: Sequence[Candidate], draws: Array, weights: Array, risk: float, axis: AxisReport, off_rule: bool,
    cautious: bool = True,
) -> float:  # fmt: skip
    """Return log F that keeps to the risk; where the sweep cannot tell the axes apart, that of the lower one.

    Args:
        candidates: The laws, in the order of the draws.
        draws: Of log F_c at the target, (draws,).
        weights: Theirs.
        risk: Greatest probability of collapse.
        axis: How sure the axis is.
        off_rule: Whether one exposure takes another share of D at the target than by the sweep's rule.
        cautious: Whether laws that may bend without end count for more (``at_risk``).
    """
    limit = at_risk(candidates, draws, weights, risk, None, cautious)
    # Where the data decide, or both axes agree on the target, the quantile of the mixture is the answer.
    sure = axis.odds is not None and axis.odds >= _PLAIN_ODDS
    if sure or not (off_rule or axis.odds is not None):
        return limit
    # Draws of all laws stand one after the other: (draws,) whether a draw is of the share.
    share = np.repeat([each.axis == "share" for each in candidates], [len(each.fit.weights) for each in candidates])
    for some in (share, ~share):
        if weights[some].sum() > _HEARD * weights.sum():
            limit = min(limit, at_risk(candidates, draws, weights, risk, some, cautious))
    return limit


def caution_line(cautious: float, plain: float) -> list[str]:
    """Return what laws that bend cost of the amount: log F by ``safe_limit`` with them counting for more, and without.

    The stated risk and the interval are by the weights alone, so a reader has to know why the amount lies below both.
    """
    if plain - cautious < _COSTS:
        return []
    return [
        f"Laws that bend without end count double for the amount: by their weights alone it would be "
        f"{short(np.exp(plain))}, at the accepted risk"
    ]


def axis_warnings(
    axis: AxisReport, where: Sizes, unit: Unit | None, request: PredictionRequest
) -> tuple[list[str], bool]:  # fmt: skip
    """Return what to know about the axis, and whether the target is off the sweep's rule for it."""
    if axis.odds is not None:
        if axis.odds >= _PLAIN_ODDS:
            return [], False
        return [
            f"Exposures or the share of D is in doubt, {short(axis.odds)} to 1 for {axis.name}: both are in "
            "the interval and the recommendation keeps the lower limit; a second budget at one more size would tell"
        ], False
    if unit is None:
        if request.axis == "auto" and (request.facts or request.tokens_per_fact):
            return [
                "The sweep's own facts are unknown or differ: exposures per fact are taken to carry over to --facts"
            ], False
        return [], False
    if axis.by_rule is None:
        return [], False
    # By the sweep's rule one exposure takes ``by_rule`` of D, at the target it takes ``there``.
    there = float(np.exp(unit.at_target))
    ratio = axis.by_rule / there
    if 1 / _ALIKE <= ratio <= _ALIKE:
        return [], False
    rule = "the same D for every size" if np.ptp(np.log(where.tokens)) < 0.05 else "D by a power of N"
    text = (
        f"One exposure of every fact takes {1 / ratio:.3g} times the share of D that it would by the sweep's own facts "
        f"and budgets ({rule}): whether exposures or the share decide cannot be known from this sweep; a second budget "
        "at one size would tell"
    )
    if request.axis != "auto":
        return [text], True
    kept = "the share's limit" if ratio < 1 else "the limit on exposures"
    return [f"{text}. Both are in the interval; the recommendation keeps {kept}, the lower one"], True


def _error(candidates: Sequence[Candidate], axis: str) -> float | None:
    """Return |predicted / observed - 1| at the largest size by the laws of one axis, mixed by their weights."""
    known = [(each.weight, each.holdout) for each in candidates if each.axis == axis and each.holdout is not None]
    if not known:
        return None
    # The mean of log(predicted / observed) by weight; expm1 turns it into a relative error.
    weight, error = np.array(known, dtype=np.float64).T
    return float(abs(np.expm1(weight @ error / weight.sum())))
