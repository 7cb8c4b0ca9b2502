"""The answer as the object that ``--json`` prints."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.prediction import Amount, Prediction

__all__ = ["as_object"]


def as_object(answer: Prediction) -> dict[str, Any]:
    """Return plain dicts, lists, strings, numbers and None; what has no finite value is None.

    The keys are always the same; without an answer those with numbers of the target are None.
    """
    law = answer.law
    recommended = answer.recommendation
    return {
        "status": answer.status,
        "target": {"params": answer.target.params, "tokens": answer.target.tokens},
        "collapse": _amount(answer.collapse),
        "peak": _amount(answer.peak),
        "recommendation": None
        if recommended is None
        else {
            "frequency": _number(recommended.frequency),
            "infused_tokens": _number(recommended.infused_tokens),
            "share": _number(recommended.share),
            "risk": _number(recommended.risk),
        },
        "law": None
        if law is None
        else {
            "name": law.name,
            "formula": law.formula,
            "parameters": {name: _number(value) for name, value in law.parameters.items()},
            "holdout_error": _number(law.holdout_error),
        },
        "groups": [_group(size) for size in answer.sizes],
        "extrapolation": _number(answer.extrapolation),
        "forgetting": None if answer.forgetting is None else _plain(asdict(answer.forgetting)),
        "binding": answer.binding,
        "axis": None if answer.axis is None else _plain(asdict(answer.axis)),
        "next_runs": [_plain(asdict(run)) for run in answer.next_runs],
        "assumptions": list(answer.assumptions),
        "warnings": list(answer.warnings),
        "missing": list(answer.missing),
    }


def _amount(amount: Amount | None) -> dict[str, float | None] | None:
    return None if amount is None else {name: _number(value) for name, value in asdict(amount).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return _number(value) if isinstance(value, float) else value


def _group(size: SizeEstimate) -> dict[str, Any]:
    low, high = size.log_collapse_interval
    return {
        "params": size.group.params,
        "tokens": size.group.tokens,
        "runs": len(size.group.runs),
        "peak": _exp(size.log_peak),
        "collapse": None if size.censored else _exp(size.log_collapse),
        "censored": size.censored,
        "low": _exp(low) if size.censored != "left" else None,
        "high": _exp(high),
        "odds": size.odds,
    }


def _exp(value: float) -> float | None:
    return _number(math.exp(value)) if value < 700 else None


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
