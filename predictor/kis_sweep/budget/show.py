"""Advice on a sweep as text of 80 columns and as plain values."""

from __future__ import annotations

import textwrap
from typing import Any

from rich.console import Console

from kis_plugin.amounts import short
from kis_plugin.storage.terminal import table
from kis_sweep.budget.advice import Advice, Choice
from kis_sweep.budget.compute import gpu_hours_text
from kis_sweep.budget.design import Design

__all__ = ["advice_object", "frequencies_text", "show_advice", "sizes_text"]

_WIDTH = 80


def sizes_text(design: Design) -> str:
    """Return the sizes as ``--sizes`` takes them."""
    return ",".join(short(size) for size in design.sizes)


def frequencies_text(design: Design) -> str:
    """Return the frequencies as ``--frequency`` takes them, with ``--points``."""
    return f"{design.frequencies[0]:.0f}..{design.frequencies[-1]:.0f}"


def show_advice(advice: Advice, out: Console) -> None:
    """Print the design, what it buys, and warnings."""
    situation, design = advice.situation, advice.design
    whole = 6 * situation.target * situation.target_tokens
    budget = advice.choices[1].budget
    _say(
        out,
        f"For N={short(situation.target)}, D={short(situation.target_tokens)} and {budget:.3g} FLOPs "
        f"({gpu_hours_text(budget)}; {budget / whole:.2g} of the large run):",
    )
    shown = table("N", "D", "runs", "FLOPs a run", "F_c assumed", "share there", numbers=range(6))
    for size in design.sizes:
        tokens = situation.tokens_per_param * size
        collapse = situation.collapse(size)
        share = situation.share(size, collapse)
        shown.add_row(
            short(size), short(tokens), f"{design.runs_per_size}", f"{6 * size * tokens:.2g}", short(collapse),
            f"{share:.2g}" if situation.exposure is not None else "",
        )  # fmt: skip
    out.print(shown)
    bought = table("budget", "sizes", "runs", "largest", "F_c at the target", "answered", numbers=(0, 1, 2, 3))
    for choice in advice.choices:
        bought.add_row(*_bought(choice))
    out.print(bought)
    for line in (*_conclusions(advice), *(f"Warning: {line}" for line in advice.warnings)):
        _say(out, line)


def _bought(choice: Choice) -> tuple[str, ...]:
    if choice.design is None or choice.outcome is None:
        return f"{choice.budget:.2g}", "", "", "", "too little for a sweep", ""
    design, outcome = choice.design, choice.outcome
    factor = "refused" if outcome.factor is None else f"within a factor of {outcome.factor:.2f}"
    count = len(design.sizes)
    return (
        f"{choice.budget:.2g}", f"{count}", f"{count * design.runs_per_size}", short(design.sizes[-1]), factor,
        f"{outcome.answered} of {outcome.sweeps}",
    )  # fmt: skip


def _conclusions(advice: Advice) -> list[str]:
    choice = advice.choices[1]
    assert choice.outcome is not None
    sweeps = choice.outcome.sweeps
    lines = [
        f"Factors are those of 90 % intervals, medians of {sweeps} simulated sweep{'s' * (sweeps > 1)} a budget; "
        "the law of the recorded study is assumed, which started at 0.2M to 2M parameters."
    ]
    if choice.outcome.reason:
        lines.append(f"A simulated sweep was refused: {choice.outcome.reason}")
    if advice.choices[1].budget >= advice.enough:
        lines.append(
            f"More runs hardly pay: from {advice.enough:.2g} FLOPs on, doubling the budget narrows the interval by "
            "less than a tenth, as scatter between sizes remains."
        )
    else:
        lines.append(f"More runs stop paying at about {advice.enough:.2g} FLOPs.")
    return lines


def _say(out: Console, text: str) -> None:
    for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False):
        out.print(line)


def advice_object(advice: Advice) -> dict[str, Any]:
    """Return advice as plain values."""
    return {
        "status": "ok",
        "target": advice.situation.target,
        "target_tokens": advice.situation.target_tokens,
        "choices": [_choice_object(choice) for choice in advice.choices],
        "enough_flops": advice.enough,
        "warnings": list(advice.warnings),
    }


def _choice_object(choice: Choice) -> dict[str, Any]:
    design, outcome = choice.design, choice.outcome
    if design is None or outcome is None:
        return {"budget": choice.budget, "sizes": None}
    return {
        "budget": choice.budget,
        "sizes": list(design.sizes),
        "frequencies": list(design.frequencies),
        "seeds": design.seeds,
        "runs": len(design.sizes) * design.runs_per_size,
        "flops": design.flops,
        "factor": outcome.factor,
        "answered": outcome.answered,
        "held": outcome.held,
        "simulated": outcome.sweeps,
    }
