"""Budget and facts of the target: as the request gives them, or by the sweep's own rule."""

from __future__ import annotations

import numpy as np

from kis_plugin.amounts import short
from kis_plugin.errors import KISError, Problem
from kis_predict.prediction import AxisReport
from kis_predict.request import PredictionRequest
from kis_predict.sweep import Sweep

__all__ = ["budget", "exposures_or_share", "facts_assumed", "infused_tokens"]

_ALIKE = 1.05


def budget(question: PredictionRequest, sweep: Sweep) -> tuple[int, list[str]]:
    """Return D of the target, and the assumption if the sweep's rule gave it."""
    per_param = np.array([group.tokens / group.params for group in sweep.groups])
    tokens = np.array([group.tokens for group in sweep.groups], dtype=np.float64)
    if question.tokens is not None:
        return question.tokens, []
    if per_param.max() <= 1.05 * per_param.min():
        ratio = float(np.median(per_param))
        return round(ratio * question.params), [
            f"D = {short(ratio * question.params)} at the target: {short(ratio)} tokens per parameter, as in the sweep "
            "(--tokens)"
        ]
    if tokens.max() <= 1.05 * tokens.min():
        return int(np.median(tokens)), [f"D = {short(np.median(tokens))} at the target, as in every run (--tokens)"]
    found = f"sizes with {short(per_param.min())} to {short(per_param.max())} tokens per parameter"
    raise KISError(
        Problem("--tokens", f"nothing, and {found}", "the target's token budget", "For instance --tokens 140B.")
    )


def infused_tokens(question: PredictionRequest, sweep: Sweep) -> float | None:
    """Return the tokens of one exposure of every fact at the target."""
    facts = question.facts or sweep.facts
    size = question.tokens_per_fact or sweep.tokens_per_fact
    return None if facts is None or size is None else facts * size


def facts_assumed(question: PredictionRequest, sweep: Sweep) -> list[str]:
    """Return what is taken for granted about the target's facts."""
    lines = []
    if question.facts is None and sweep.facts is not None:
        lines.append(f"{sweep.facts:,} facts at the target, as in the sweep (--facts)")
    if question.tokens_per_fact is None and sweep.tokens_per_fact is not None:
        lines.append(f"{sweep.tokens_per_fact:.3g} tokens per exposure of a fact, as in the sweep (--tokens-per-fact)")
    if infused_tokens(question, sweep) is None:
        lines.append("Infused tokens and share are not given: they need --facts and --tokens-per-fact")
    return lines


def exposures_or_share(question: PredictionRequest, axis: AxisReport, a_fact: float | None) -> tuple[float, list[str]]:
    """Return by what the risk limit is scaled where one exposure takes another share of D than in the sweep, and why.

    Where the sweep does not tell whether exposures per fact or the share of D decides, both agree as long as facts and
    budgets follow its rule. With more facts, or fewer tokens, the share reaches its limit at fewer exposures: the
    smaller amount is the safe one.

    Args:
        question: The request.
        axis: On which the law was fitted.
        a_fact: Share of D that one exposure of every fact takes at the target.
    """
    if axis.name == "share" or axis.odds is not None:
        return 1.0, []
    if axis.by_rule is None or a_fact is None:
        unknown = axis.holdout_errors.get("share") is None
        if unknown and (question.facts or question.tokens_per_fact):
            return 1.0, [
                "The sweep's own facts are unknown or differ: exposures per fact are taken to carry over to --facts"
            ]
        return 1.0, []
    ratio = axis.by_rule / a_fact
    if 1 / _ALIKE <= ratio <= _ALIKE:
        return 1.0, []
    text = (
        f"One exposure of every fact takes {a_fact:.3g} of D at the target, by the sweep's own facts and budgets it "
        f"would take {axis.by_rule:.3g}: whether exposures or the share decide is then a guess, which a second budget "
        "at one size of the sweep would end"
    )
    if ratio < 1:
        return ratio, [f"{text}; the recommendation keeps the share's limit, {1 / ratio:.3g} times lower"]
    return 1.0, [f"{text}; the recommendation keeps the limit on exposures"]
