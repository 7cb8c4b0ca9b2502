"""What the target is trained on and infuses: as asked, or by the sweep's own rule."""

from __future__ import annotations

import numpy as np

from kis_plugin.errors import KISError, Problem
from kis_predict.amounts import short
from kis_predict.question import Question
from kis_predict.sweep import Sweep

__all__ = ["budget", "exposures_or_share", "facts_assumed", "infused_tokens"]


def budget(question: Question, sweep: Sweep) -> tuple[int, list[str]]:
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


def infused_tokens(question: Question, sweep: Sweep) -> float | None:
    """Return the tokens of one exposure of every fact at the target."""
    facts = question.facts or sweep.facts
    size = question.tokens_per_fact or sweep.tokens_per_fact
    return None if facts is None or size is None else facts * size


def facts_assumed(question: Question, sweep: Sweep) -> list[str]:
    """Return what is taken for granted about the target's facts."""
    lines = []
    if question.facts is None and sweep.facts is not None:
        lines.append(f"{sweep.facts:,} facts at the target, as in the sweep (--facts)")
    if question.tokens_per_fact is None and sweep.tokens_per_fact is not None:
        lines.append(f"{sweep.tokens_per_fact:.3g} tokens per exposure of a fact, as in the sweep (--tokens-per-fact)")
    if infused_tokens(question, sweep) is None:
        lines.append("Infused tokens and share are not given: they need --facts and --tokens-per-fact")
    return lines


def exposures_or_share(question: Question, sweep: Sweep, axis: str) -> tuple[float, list[str]]:
    """Return by what the risk limit is scaled where the target infuses more fact tokens than the sweep, and why.

    Whether exposures per fact or the share of D decides is not known. Both agree while facts and their length stay as
    in the sweep; with more of them the share reaches its limit at fewer exposures: the smaller amount is the safe one.
    """
    target = infused_tokens(question, sweep)
    if axis == "share":
        return 1.0, []
    if target is None or sweep.facts is None or sweep.tokens_per_fact is None:
        if question.facts or question.tokens_per_fact:
            return 1.0, [
                "The sweep's own facts are unknown or differ: exposures per fact are taken to carry over to --facts"
            ]
        return 1.0, []
    ratio = sweep.facts * sweep.tokens_per_fact / target
    if 0.98 <= ratio <= 1.02:
        return 1.0, []
    text = (
        f"The target infuses {short(target)} tokens an exposure of all facts, the sweep "
        f"{short(target * ratio)}: whether exposures or the share decide is then a guess"
    )
    if ratio < 1:
        return ratio, [f"{text}, and the recommendation keeps the share's limit, {1 / ratio:.3g} times lower"]
    return 1.0, [f"{text}, and the recommendation keeps the limit on exposures"]
