"""Budget and facts of the target: as the request gives them, or by the sweep's own rule."""

from __future__ import annotations

import numpy as np

from kis_plugin.amounts import short
from kis_plugin.errors import KISError, Problem
from kis_predict.laws.selection import Sizes
from kis_predict.request import PredictionRequest
from kis_predict.sweep import Sweep

__all__ = ["budget", "facts_assumed", "infused_tokens", "rule_of_d"]

_ALIKE = 1.05


def budget(question: PredictionRequest, sweep: Sweep) -> tuple[int, list[str]]:
    """Return D of the target, and the assumption if the sweep's rule gave it."""
    per_param = np.array([group.tokens / group.params for group in sweep.groups])
    tokens = np.array([group.tokens for group in sweep.groups], dtype=np.float64)
    if question.tokens is not None:
        return question.tokens, []
    # A rule is taken to hold where all sizes keep to it within 5 %: model sizes are rarely exact.
    if per_param.max() <= _ALIKE * per_param.min():
        ratio = float(np.median(per_param))
        return round(ratio * question.params), [
            f"D = {short(ratio * question.params)} at the target: {short(ratio)} tokens per parameter, as in the sweep "
            "(--tokens)"
        ]
    if tokens.max() <= _ALIKE * tokens.min():
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


def rule_of_d(where: Sizes) -> str:
    """Return for which rule of D the answer holds, in words."""
    tokens, params, target = where.tokens, where.params, where.target
    per_param = tokens / params
    # Which quantity the sweep kept constant decides what D means in the law: it cannot be separated from N then.
    if per_param.max() <= _ALIKE * per_param.min():
        rule, on = f"D in proportion to N ({short(float(np.median(per_param)))} tokens per parameter)", per_param
        there = target[1] / target[0]
    elif tokens.max() <= _ALIKE * tokens.min():
        rule, on, there = f"the same D, {short(float(np.median(tokens)))}, at every size", tokens, target[1]
    else:
        return (
            f"Holds for N={short(target[0])} trained on D={short(target[1])}; the sweep has several budgets, and what "
            "they say of D is in the answer"
        )
    # By what factor the target leaves the rule; the law has not seen such a D at any size.
    off = there / float(np.median(on))
    if 1 / _ALIKE <= off <= _ALIKE:
        return f"Holds for the sweep's rule of D: {rule}"
    return f"The sweep's rule is {rule}; the target's D is {off:.3g} times that: what D alone does is unknown"
