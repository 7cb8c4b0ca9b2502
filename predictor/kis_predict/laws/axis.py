"""In what amounts compare across sizes: exposures per fact, or the share of D that is infused text.

Both say the same while facts, their length and the sweep's rule for D stay as they are: then a power law in one is a
power law in the other. They part where the number of facts or their length differs between sizes, or where D follows
no power of N, as with two budgets at one size; then it decides how well each size is foreseen from the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from kis_plugin.amounts import short
from kis_plugin.errors import KISError, Problem
from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.laws.cross_validation import log_score
from kis_predict.laws.points import Points
from kis_predict.laws.selection import Sizes, fit_laws
from kis_predict.prediction import AxisReport
from kis_predict.protocols import Law

__all__ = ["choose_axis", "share_of_one_exposure"]

Array = npt.NDArray[np.float64]
Name = Literal["auto", "frequency", "share"]

_ALIKE = 1.05
_SAME = 0.01
_MOST_ODDS = 1000


def share_of_one_exposure(sizes: Sequence[SizeEstimate]) -> Array | None:
    """Return the share of D that one exposure of every fact takes at each size, (groups,).

    None where a run does not tell, or where it differs by more than 5 % between the runs of one size.
    """
    out = []
    for size in sizes:
        told = [run.infused_share() for run in size.group.runs]
        each = np.array([share / run.frequency for share, run in zip(told, size.group.runs, strict=True) if share])
        if len(each) < len(told) or each.max() > _ALIKE * each.min():
            return None
        out.append(float(np.median(each)))
    return np.array(out)


def choose_axis(
    wanted: Name, laws: Mapping[str, Law], where: Sizes, points: Points, per_exposure: Array | None, at_target: bool,
    seed: int,
) -> AxisReport:  # fmt: skip
    """Return the axis to fit on, how far each misses the largest size when it is left out, and which foresees better.

    Args:
        wanted: What was asked for.
        laws: To be fitted on both.
        where: Groups and target.
        points: log F_c of the groups.
        per_exposure: Share of one exposure at each, or None.
        at_target: Whether it is known at the target, so that a share can be told as exposures.
        seed: Of the draws.

    Raises:
        KISError: The share is asked for and not known.
    """
    errors: dict[str, float | None] = {"frequency": _error(laws, where, points, seed), "share": None}
    if per_exposure is None or not at_target:
        lacking = "facts and tokens_per_fact, or share, in every run" if per_exposure is None else "the target's facts"
        if wanted == "share":
            raise KISError(
                Problem("--axis", "share", lacking, "Name --facts and --tokens-per-fact, or use --axis frequency.")
            )
        return AxisReport("frequency", errors, f"the share cannot be judged without {lacking}")
    errors["share"] = _error(laws, where, points.shifted(np.log(per_exposure)), seed)
    by_rule = _by_rule(where, per_exposure)
    if wanted != "auto":
        return AxisReport(wanted, errors, "asked for", by_rule=by_rule)
    if by_rule is not None:
        told = "facts and budgets of this sweep do not tell them apart"
        return AxisReport("frequency", errors, told, by_rule=by_rule)
    shares = points.shifted(np.log(per_exposure))
    by_frequency, by_share = (log_score(laws, where, each, seed) for each in (points, shares))
    if by_frequency is None or by_share is None:
        return AxisReport("frequency", errors, "no size can be left out to judge by")
    name: Literal["frequency", "share"] = "frequency" if by_frequency >= by_share else "share"
    odds = min(float(np.exp(min(abs(by_share - by_frequency), 50.0))), _MOST_ODDS)
    told = f"more than {_MOST_ODDS:,}" if odds == _MOST_ODDS else short(odds)
    return AxisReport(name, errors, f"it foresees each size from the others better, at odds of {told} to 1", odds)


def _by_rule(where: Sizes, per_exposure: Array) -> float | None:
    """Return the share of one exposure at the target if it is a power of N at all groups, else None.

    A power law in exposures is one in the share then, and no size can tell them apart.
    """
    slope, level = np.polyfit(np.log(where.params), np.log(per_exposure), 1)
    if np.abs(level + slope * np.log(where.params) - np.log(per_exposure)).max() > _SAME:
        return None
    return float(np.exp(level + slope * np.log(where.target[0])))


def _error(laws: Mapping[str, Law], where: Sizes, points: Points, seed: int) -> float | None:
    candidates = fit_laws(laws, where, points, seed)
    holdout = candidates[0].holdout if candidates else None
    return None if holdout is None else float(abs(np.expm1(holdout)))
