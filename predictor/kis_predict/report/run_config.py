"""The recommendation as a configuration of the plugin: the ``kis.yaml`` of the large run."""

from __future__ import annotations

import json

from kis_predict.amounts import round_down, short
from kis_predict.prediction import Prediction

__all__ = ["config_text"]


def config_text(answer: Prediction, knowledge: str, seed: int) -> str:
    """Return a ``kis.yaml`` that ``kis_plugin.config.load.load_config`` takes once ``knowledge`` is there.

    Args:
        answer: One with a recommendation.
        knowledge: Path of the facts, relative to the configuration's folder.
        seed: Of the large run.
    """
    told, law = answer.recommendation, answer.law
    assert told
    assert law
    tokens = "" if answer.target.tokens is None else f", D = {short(answer.target.tokens)}"
    by_share = answer.axis is not None and answer.axis.name == "share" and told.share is not None
    amount = (
        f"share: {round_down(told.share or 0):.10g}" if by_share else f"frequency: {round_down(told.frequency):.10g}"
    )
    beside = [f"{short(round_down(told.frequency))} exposures per fact"] if by_share else []
    beside += [] if told.infused_tokens is None else [f"{short(round_down(told.infused_tokens))} tokens"]
    beside += [] if told.share is None or by_share else [f"a share of {round_down(told.share):.3g}"]
    lines = [
        f"For N = {short(answer.target.params)}{tokens}: the greatest amount that kis-predict recommends.",
        f"Predicted risk of collapse {told.risk:.1%}, limited by: {told.binding}.",
        f"Law: {law.formula}.",
        "It holds for the data, tokenizer, templates and recipe of the sweep, and for as many facts as were asked for.",
    ]
    comment = "".join(f"# {' '.join(line.split())}\n" for line in lines)
    aside = f"  # {', '.join(beside)}" if beside else ""
    return f"{comment}knowledge: {json.dumps(knowledge)}\ninfusion:\n  {amount}{aside}\nseed: {seed}\n"
