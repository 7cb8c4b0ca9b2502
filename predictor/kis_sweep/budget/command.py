"""``kis sweep plan --target``: reads what is known, chooses a sweep, prints it with the command that plans it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kis_plugin.amounts import short
from kis_plugin.errors import KISError, Problem
from kis_plugin.registry import registered
from kis_plugin.storage.terminal import console, refusal_as_json
from kis_sweep.budget.advice import advise
from kis_sweep.budget.compute import flops_of
from kis_sweep.budget.design import Situation
from kis_sweep.budget.show import advice_object, frequencies_text, show_advice, sizes_text
from kis_sweep.display import watching

__all__ = ["advise_on_budget"]

_TOKENS_PER_FACT = 20
"""Assumed of a fact's sentence, its separator included, until a tokenizer has counted."""
_SEED = 0


def advise_on_budget(
    target: int,
    budget: str,
    longest: str | None,
    target_tokens: int | None,
    tokens_per_param: float,
    exposure_tokens: int | None,
    facts: Path | None,
    config: Path | None,
    text_tokens: int | None,
    target_text_tokens: int | None,
    simulations: int,
    as_json: bool,
) -> None:
    """Print what a budget buys for a target; the parameters are those options of ``kis sweep plan``.

    Raises:
        KISError: The budget is none, or pays for no sweep, or the facts cannot be read.
    """
    with refusal_as_json(as_json):
        flops = flops_of(budget)
        exposure = None if exposure_tokens is None else float(exposure_tokens)
        if exposure is None and (facts or config):
            exposure = float(_facts_in(facts, config) * _TOKENS_PER_FACT)
        limit = None if longest is None else flops_of(longest, where="--longest")
        situation = Situation(target, target_tokens or target * tokens_per_param, tokens_per_param, exposure, limit)
        with watching() as watch:
            advice = advise(
                situation, flops, registered("laws"), simulations, _SEED, text_tokens, target_text_tokens, watch
            )
    design = advice.design
    knowledge = f"--config {config}" if config else f"--facts {facts or 'facts.jsonl'}"
    command = (
        f"kis sweep plan --sizes {sizes_text(design)} --frequency {frequencies_text(design)} "
        f"--points {len(design.frequencies)} --seeds {design.seeds} --tokens-per-param {tokens_per_param:g} "
        f"{knowledge} --text corpus/ -o sweep/"
    )
    if as_json:
        click.echo(json.dumps({**advice_object(advice), "next": command}, indent=2))
        return
    out = console()
    show_advice(advice, out)
    if exposure is not None and exposure_tokens is None:
        out.print(f"One exposure of all facts is taken to be {short(exposure)} tokens, {_TOKENS_PER_FACT} a fact.")
    out.print(f"Next: {command}")


def _facts_in(facts: Path | None, config: Path | None) -> int:
    """Return the number of facts and passages that a run would infuse."""
    from kis_plugin.config.load import config_from, load_config
    from kis_plugin.tokenized.infusion_split import load_split

    split = load_split(load_config(config) if config else config_from({"knowledge": str(facts)}))
    count = len(split.infused) + len(split.passages_infused)
    if not count:
        raise KISError(Problem(str(config or facts), "nothing to infuse", "facts or documents"))
    return count
