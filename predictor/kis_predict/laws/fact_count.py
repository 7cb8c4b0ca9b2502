"""What another number of facts than the sweep's does to the answer.

One exposure of twice the facts takes twice the text. How far general loss rises depends on the text that is infused, so
its limit is read by text. What retention does is not settled: in ``studies/second_round`` exposures compared better
than the share of D from one number of facts to another, in one size and few seeds. So the answer holds both readings
with equal weights, and the recommendation keeps to the lower one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from kis_predict.laws.axis import share_of_one_exposure
from kis_predict.laws.selection import Unit
from kis_predict.sweep import Group

__all__ = ["as_many_facts", "facts_line", "lower_reading", "readings", "times_the_text"]

Array = npt.NDArray[np.float64]

_ALIKE = 1.05
"""Ratio up to which texts are the same: seeds draw other controls, so equal runs may infuse a few facts more."""


def times_the_text(groups: Sequence[Group], infused: float | None) -> float:
    """Return how many times the sweep's text one exposure of every fact takes at the target.

    1 where that is not known, or where the sweep's sizes differ in it themselves: then they say what it does.

    Args:
        groups: Runs of each size.
        infused: Tokens of one exposure of every fact at the target, None if unknown.
    """
    text = _text(groups)
    return 1.0 if text is None or infused is None or not _alike(text) else _times(text, infused)


def as_many_facts(groups: Sequence[Group], infused: float | None) -> Unit:
    """Return exposures counted as if groups and target infused equally much text with one exposure of every fact.

    Plain exposures where a group or the target does not say how much text one takes. Arguments as above.
    """
    text = _text(groups)
    if text is None or infused is None:
        return Unit(np.zeros(len(groups)), 0.0)
    if _alike(text):
        return Unit(np.zeros(len(groups)), math.log(_times(text, infused)))
    usual = float(np.median(text))
    return Unit(np.log(text / usual), math.log(infused / usual))


def _alike(text: Array) -> bool:
    """Return whether all sizes infuse the same text: then none is corrected for a few controls more or fewer."""
    return bool(text.max() <= _ALIKE * text.min())


def _times(text: Array, infused: float) -> float:
    """Return how many times the sweep's text the target's is, 1 where they are the same."""
    more = infused / float(np.median(text))
    return 1.0 if 1 / _ALIKE <= more <= _ALIKE else more


def _text(groups: Sequence[Group]) -> Array | None:
    """Return the tokens of one exposure of every fact at each size, (groups,); None where a run does not say."""
    share = share_of_one_exposure(groups) if groups else None
    return None if share is None else share * np.array([group.tokens for group in groups], dtype=np.float64)


def readings(more: float, axis: Literal["auto", "frequency", "share"], draws: int) -> Array:
    """Return what is taken off draws of log F for the sweep's number of facts, (draws,).

    Args:
        more: Times the sweep's text.
        axis: What was requested to carry over; ``auto`` gives each reading half of the draws.
        draws: How many.
    """
    # Successive pairs of draws: which of two neighbours is meant differs for other readings.
    by_share = {"auto": np.arange(draws) // 2 % 2, "frequency": np.zeros(draws), "share": np.ones(draws)}[axis]
    return np.asarray(math.log(more) * by_share, dtype=np.float64)


def lower_reading(more: float, axis: Literal["auto", "frequency", "share"]) -> float:
    """Return what is taken off log of a limit for the sweep's number of facts, so that it holds by every reading."""
    return {"auto": max(math.log(more), 0.0), "frequency": 0.0, "share": math.log(more)}[axis]


def facts_line(more: float, axis: Literal["auto", "frequency", "share"]) -> list[str]:
    """Return what is said of another number of facts; empty where it is the sweep's."""
    if more == 1.0:
        return []
    line = f"One exposure of every fact takes {more:.3g} times the text that it takes in the sweep"
    if axis != "auto":
        carried = {"frequency": "exposures per fact", "share": "the share of D"}[axis]
        return [f"{line}: {carried} are taken to carry over to another number of facts, as requested (--axis)"]
    kept = "the share's limit" if more > 1 else "the limit on exposures"
    return [
        f"{line}. Whether exposures or the share carry over to another number of facts cannot be known from this "
        f"sweep: both are in the interval, and the recommendation keeps {kept}, the lower one; sizes that "
        "infuse other numbers of facts would tell"
    ]
