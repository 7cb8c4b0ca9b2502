"""``--points``: a law through critical points that were measured or published, without the runs behind them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kis_plugin.amounts import parse_amount
from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.text_lines import text_lines
from kis_predict import method
from kis_predict.laws.axis import axis_report, axis_warnings, caution_line, safe_limit
from kis_predict.laws.points import Points
from kis_predict.laws.refusal import prefix_errors, refusals, supported_distance
from kis_predict.laws.selection import Axis, Sizes, Unit, fit_laws, mixture
from kis_predict.laws.target import rule_of_d
from kis_predict.pipeline import amount_of, law_report, leading_law
from kis_predict.prediction import Prediction, Recommendation, Target
from kis_predict.protocols import Law
from kis_predict.readers.csv_table import header_of
from kis_predict.request import PredictionRequest

__all__ = ["CriticalPoint", "predict_from_points", "read_points"]

_COLUMNS = {"n": "params", "params": "params", "d": "tokens", "tokens": "tokens", "f_c": "value", "collapse": "value",
            "frequency": "value", "alpha": "value", "ratio": "value", "sd": "sd"}  # fmt: skip
_USUAL_SD = 0.05
"""Relative error of a point that comes without one; what it falls short of is left to the law's own scatter."""
_FEWEST = 3


@dataclass(frozen=True)
class CriticalPoint:
    """One critical amount.

    Attributes:
        params: N.
        tokens: D, None if it is not known; then of all points.
        value: F_c, or any other positive amount that a law of N and D may describe.
        sd: Its relative standard error: that of its natural logarithm.
    """

    params: float
    tokens: float | None
    value: float
    sd: float


def read_points(path: Path) -> list[CriticalPoint]:
    """Read a table with columns N, F_c and, where known, D and sd; separated by commas, semicolons or tabs.

    Raises:
        KISError: A missing column, or every value that is no positive number, with its line.
    """
    delimiter, header = header_of(path)
    names = [_COLUMNS.get(name.strip().lower(), "") for name in header]
    if "params" not in names or "value" not in names:
        found = f"columns {', '.join(header)}" if header else "no table"
        raise KISError(Problem(f"--points {path}", found, "a CSV table with columns N and F_c, and D and sd if known"))
    problems: list[Problem] = []
    points = []
    rows = csv.reader(text_lines(path), delimiter=delimiter)
    next(rows)
    for row in rows:
        where = f"{path}:{rows.line_num}"
        cells = {name: cell.strip() for name, cell in zip(names, row, strict=False) if name and cell.strip()}
        values = {name: _number(name, cell, where, problems) for name, cell in cells.items()}
        if not cells:
            continue
        problems += [Problem(where, f"no {name}", "one") for name in ("params", "value") if name not in cells]
        params, value = values.get("params", math.nan), values.get("value", math.nan)
        points.append(CriticalPoint(params, values.get("tokens"), value, values.get("sd", _USUAL_SD)))
    if problems:
        raise KISError(problems)
    return points


def _number(name: str, cell: str, where: str, problems: list[Problem]) -> float:
    try:
        value = float(parse_amount(cell)) if name in ("params", "tokens") else float(cell)
    except (ValueError, KISError):
        value = math.nan
    if not 0 < value < math.inf:
        problems.append(Problem(f"{where} {name}", repr(cell[:40]), "a positive number"))
    return value


def predict_from_points(
    points: Sequence[CriticalPoint], request: PredictionRequest, laws: Mapping[str, Law]
) -> Prediction:  # fmt: skip
    """Fit the laws to critical points and answer for the target, with the same weights and refusals as for runs.

    Without D the points are taken to be of one budget; without sd each has a relative error of 0.05. A point that is
    given twice counts once. What is retained, and general loss, need runs: the recommendation keeps to the risk alone.

    Raises:
        KISError: Fewer than three sizes, D known at some points only, or at the target only, or not there.
    """
    _check(points, request)
    given, points = points, sorted(set(points), key=lambda point: (point.params, point.tokens or 0.0, point.value))
    params = np.array([point.params for point in points])
    tokens = np.array([point.tokens or 1.0 for point in points])
    budget = float(request.tokens or tokens[0])
    data = Points(
        y=np.log([point.value for point in points]),
        sd=np.array([point.sd for point in points]),
        side=np.zeros(len(points), dtype=np.int64),
    )
    # As many facts everywhere: one exposure of all takes a share of D in proportion to 1 / D.
    units: dict[Axis, Unit] = {
        "frequency": Unit(np.zeros(len(points)), 0.0),
        "share": Unit(-np.log(tokens), -math.log(budget)),
    }
    if np.ptp(np.log([*tokens, budget])) == 0 or request.axis == "frequency":
        del units["share"]
    elif request.axis == "share":
        del units["frequency"]
    where = Sizes(params, tokens, (float(request.params), budget))
    candidates = fit_laws(laws, where, data, request.seed, units)
    if not candidates:
        raise KISError(Problem("laws", ", ".join(laws) or "none", "one whose parameters the points determine"))
    lacking = (
        "" if "share" in units
        else "points and target have one D, on which exposures and the share say the same" if request.tokens
        else "the share cannot be judged without D of the points"
    )  # fmt: skip
    axis = axis_report(request, candidates, where, units, lacking)
    axis_lines, off_rule = axis_warnings(axis, where, units.get("share"), request)
    draws, weights = mixture(candidates, request.seed)
    collapse = amount_of(draws, weights, request.confidence, None)
    errors = prefix_errors(candidates, sorted(set(params.tolist())))
    extrapolation = request.params / float(params.max())
    chosen = leading_law(candidates)
    found = Prediction(
        "insufficient", Target(request.params, request.tokens), request.confidence, (),
        (
            f"{len(points)} critical points of {len(set(params.tolist()))} sizes as given; their runs are not known",
            rule_of_d(where) if request.tokens else "Holds for the rule of D by which the points were measured",
        ),
        (*_twice(given, points), *axis_lines), extrapolation=extrapolation, prefix_errors=errors,
        supported=supported_distance(errors), method=method.describe(), request=request, points=len(points),
    )  # fmt: skip
    below = float(params.min()) / request.params
    reasons = refusals(errors, extrapolation, collapse.low, collapse.high, request.far, below)
    if reasons:
        return replace(found, missing=tuple(reasons))
    cautious, plain = (
        safe_limit(candidates, draws, weights, request.risk, axis, off_rule, caution) for caution in (True, False)
    )
    limit = float(np.exp(cautious))
    risk = float(weights[draws < math.log(limit)].sum() / weights.sum())
    return replace(
        found, status="ok", assumptions=(*found.assumptions, *caution_line(cautious, plain)), collapse=collapse,
        axis=axis, law=law_report(chosen, candidates, request.confidence),
        binding="collapse", recommendation=Recommendation(limit, None, None, risk, "collapse risk"),
    )  # fmt: skip


def _twice(given: Sequence[CriticalPoint], points: Sequence[CriticalPoint]) -> list[str]:
    again = len(given) - len(points)
    return [f"Left out {again} point{'s' if again > 1 else ''} that repeat another one in every value"] if again else []


def _check(points: Sequence[CriticalPoint], request: PredictionRequest) -> None:
    known = [point.tokens is not None for point in points]
    sizes = len({point.params for point in points})
    if sizes < _FEWEST:
        raise KISError(
            Problem("--points", f"{sizes} size{'' if sizes == 1 else 's'}", "three or more: fewer determine no law")
        )
    if any(known) and not all(known):
        raise KISError(Problem("--points", "D at some points only", "D at all of them, or at none"))
    if request.tokens is not None and not any(known):
        hint = "Add a column D, or leave --tokens out: the answer then holds for the rule of D of the points."
        raise KISError(Problem("--tokens", f"{request.tokens:,}, while the points have no D", "D at the points", hint))
    if all(known) and request.tokens is None:
        hint = "Give the target's budget by --tokens."
        raise KISError(Problem("--tokens", "nothing, while the points have D", "the target's D", hint))
