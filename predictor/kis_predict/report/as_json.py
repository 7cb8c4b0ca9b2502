"""The answer as the object that ``--json`` prints, and the JSON schema of that object. Both follow the dataclasses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.prediction import Prediction
from kis_predict.report.versions import version

__all__ = ["Answer", "Group", "as_object"]


@dataclass(frozen=True)
class Group:
    """What the runs of one model size and token budget say.

    Attributes:
        params: N.
        tokens: D.
        runs: Fitted runs.
        lowest: Lowest frequency tested.
        highest: Highest frequency tested.
        peak: F_opt; a bound where the collapse is censored.
        peak_low: Its interval.
        peak_high: Its interval.
        peak_retention: Held-out retention at the peak.
        chance: Retention of a model that guesses.
        collapse: F_c, null where it is censored: low or high is then the bound.
        censored: ``right`` if no collapse was seen in the tested range, ``left`` if retention falls from the start.
        low: Interval of F_c.
        high: Interval of F_c, null where it is open.
        odds: That there was a collapse, null where the runs leave no doubt.
        p_value: Of the test of a rise and a fall against a rise alone.
        learnt: Whether retention rose above chance, and its rise ended, in the tested range; a size that did not learn
            says nothing and enters no law.
        warnings: What a reader should know about these runs.
    """

    params: int
    tokens: int
    runs: int
    lowest: float
    highest: float
    peak: float
    peak_low: float
    peak_high: float
    peak_retention: float
    chance: float
    collapse: float | None
    censored: Literal["left", "right"] | None
    low: float | None
    high: float
    odds: float | None
    p_value: float
    learnt: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Answer(Prediction):
    """The object that ``kis-predict --json`` prints.

    Attributes:
        version: Of KIS.
        groups: The estimates, one for each model size and token budget.
    """

    version: str = ""
    groups: tuple[Group, ...] = ()


def as_object(answer: Prediction) -> dict[str, Any]:
    """Return plain dicts, lists, strings, numbers and None; what has no finite value is None.

    The keys are always the same; without an answer those with numbers of the target are None.
    """
    found = {field.name: _plain(getattr(answer, field.name)) for field in fields(answer) if field.name != "sizes"}
    groups = [_plain(_group(size)) for size in answer.sizes]
    return {"version": version(), **found, "groups": groups}


def _group(size: SizeEstimate) -> Group:
    low, high = size.log_collapse_interval
    peak_low, peak_high = size.log_peak_interval
    group = size.group
    return Group(
        params=group.params,
        tokens=group.tokens,
        runs=len(group.runs),
        lowest=group.runs[0].frequency,
        highest=group.runs[-1].frequency,
        peak=_exp(size.log_peak),
        peak_low=_exp(peak_low),
        peak_high=_exp(peak_high),
        peak_retention=float(size.peak_retention),
        chance=group.chance,
        collapse=None if size.censored else _exp(size.log_collapse),
        censored=size.censored,
        low=_exp(low) if size.censored != "left" else None,
        high=_exp(high),
        odds=size.odds,
        p_value=float(size.p_value),
        learnt=size.learnt,
        warnings=size.warnings,
    )


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
