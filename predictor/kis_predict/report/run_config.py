"""The recommendation as a configuration of the plugin: the ``kis.yaml`` of the large run."""

from __future__ import annotations

import json

from kis_plugin.amounts import round_down, short
from kis_predict.prediction import Prediction

__all__ = ["config_text"]


def config_text(answer: Prediction, knowledge: str, seed: int) -> str:
    """Return a ``kis.yaml`` that ``kis_plugin.config.load.load_config`` takes once ``knowledge`` is there.

    Args:
        answer: One with a recommendation.
        knowledge: Path of the facts, relative to the configuration's folder.
        seed: Of the large run.
    """
    recommended, law = answer.recommendation, answer.law
    assert recommended
    assert law
    tokens = "" if answer.target.tokens is None else f", D = {short(answer.target.tokens)}"
    by_share = answer.axis is not None and answer.axis.name == "share" and recommended.share is not None
    amount = (
        f"share: {round_down(recommended.share or 0):.10g}"
        if by_share
        else f"frequency: {round_down(recommended.frequency):.10g}"
    )
    also = [f"{short(round_down(recommended.frequency))} exposures per fact"] if by_share else []
    also += [] if recommended.infused_tokens is None else [f"{short(round_down(recommended.infused_tokens))} tokens"]
    also += [] if recommended.share is None or by_share else [f"a share of {round_down(recommended.share):.3g}"]
    lines = [
        f"For N = {short(answer.target.params)}{tokens}: the greatest amount that kis-predict recommends.",
        f"Predicted risk of collapse {recommended.risk:.1%}, limited by: {recommended.binding}.",
        f"Law: {law.formula}.",
        "It holds for the data, tokenizer, templates and recipe of the sweep and for the number of facts given there.",
    ]
    comment = "".join(f"# {' '.join(line.split())}\n" for line in lines)
    comment_after = f"  # {', '.join(also)}" if also else ""
    return f"{comment}knowledge: {json.dumps(knowledge)}\ninfusion:\n  {amount}{comment_after}\nseed: {seed}\n"
