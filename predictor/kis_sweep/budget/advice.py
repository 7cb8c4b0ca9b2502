"""Advice on a sweep for a target and a budget: the design, what it buys, and warnings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from kis_plugin.amounts import short
from kis_plugin.errors import KISError, Problem
from kis_predict.protocols import Law
from kis_predict.sweep import MOST_SHARE
from kis_sweep.budget.design import Design, Situation, best_design, expected_sd
from kis_sweep.budget.simulation import Outcome, simulate

__all__ = ["Advice", "Choice", "advise"]

_PARTS = (0.5, 1.0, 2.0)
_LITTLE = 0.1
"""A doubled budget that narrows the expected interval by less does not pay."""
_UNLIKE = 1.5
_DOUBLINGS = 40


@dataclass(frozen=True)
class Choice:
    """The best design of one budget.

    Attributes:
        budget: FLOPs.
        design: None where the budget pays for none.
        outcome: Of its simulated sweeps; None without a design.
    """

    budget: float
    design: Design | None
    outcome: Outcome | None


@dataclass(frozen=True)
class Advice:
    """What a budget buys.

    Attributes:
        situation: What the sweep is for.
        choices: At half, the whole and double the budget.
        enough: FLOPs from which doubling narrows the expected interval by less than a tenth.
        warnings: What is doubtful about the design, one line each.
    """

    situation: Situation
    choices: tuple[Choice, ...]
    enough: float
    warnings: tuple[str, ...]

    @property
    def design(self) -> Design:
        """The design of the whole budget."""
        design = self.choices[1].design
        assert design is not None
        return design


def advise(
    situation: Situation,
    budget: float,
    laws: Mapping[str, Law],
    sweeps: int,
    seed: int,
    text_tokens: float | None,
    target_text_tokens: float | None,
    watch: Callable[[str, int, int], None],
) -> Advice:
    """Choose a sweep, and say what it buys.

    Args:
        situation: What it is for.
        budget: FLOPs.
        laws: Those that the predictor may fit, by name.
        sweeps: Simulated sweeps for each budget.
        seed: Of the simulations.
        text_tokens: Tokens of the sweep's base text; None where they are not known.
        target_text_tokens: Those of the target's; None for as many as it trains on.
        watch: Called with progress.

    Raises:
        KISError: The budget pays for no sweep.
    """
    designs = [best_design(situation, part * budget) for part in _PARTS]
    if designs[1] is None:
        least = _least_budget(situation, budget)
        hint = "Take fewer facts, or more tokens per parameter." if least is None else ""
        expected = "a larger one" if least is None else f"{least:.2g} FLOPs or more"
        found = f"{budget:.3g} FLOPs, too few for four sizes with eight frequencies"
        raise KISError(Problem("--budget", found, expected, hint))
    done, total = 0, sweeps * sum(design is not None for design in designs)

    def step() -> None:
        nonlocal done
        done += 1
        watch("simulating sweeps", done, total)

    watch("simulating sweeps", 0, total)
    choices = [
        Choice(part * budget, design, simulate(design, situation, laws, sweeps, seed, step) if design else None)
        for part, design in zip(_PARTS, designs, strict=True)
    ]
    warnings = tuple(_warnings(designs[1], situation, text_tokens, target_text_tokens))
    return Advice(situation, tuple(choices), _enough(situation, budget), warnings)


def _least_budget(situation: Situation, budget: float) -> float | None:
    tried = (budget * 2**at for at in range(1, _DOUBLINGS))
    return next((one for one in tried if best_design(situation, one) is not None), None)


def _enough(situation: Situation, budget: float) -> float:
    """Return the least budget from which on no doubling narrows the expected interval much."""
    budgets = [budget * 2.0**at for at in range(-_DOUBLINGS // 2, _DOUBLINGS // 2)]
    expected = [_expected(situation, one) for one in budgets]
    enough = budgets[-1]
    for one, now, twice in reversed(list(zip(budgets, expected, expected[1:], strict=False))):
        if now is None or twice is None or 1 - twice / now >= _LITTLE:
            break
        enough = one
    return enough


def _expected(situation: Situation, budget: float) -> float | None:
    design = best_design(situation, budget)
    return None if design is None else expected_sd(design, situation)


def _warnings(
    design: Design, situation: Situation, text_tokens: float | None, target_text_tokens: float | None
) -> Iterator[str]:
    for size in design.sizes:
        if not situation.shows_collapse(size):
            share = situation.share(size, situation.collapse(size))
            yield (
                f"N={short(size)}: its collapse point is expected at a share of {share:.2g}, near {MOST_SHARE:g} or "
                "above: it would only give a bound. Take fewer facts or more tokens per parameter."
            )
    if situation.exposure is None:
        yield "Shares are not checked, as the facts are not known: give --facts, --config or --exposure-tokens."
    else:
        smallest = _smallest_that_learns(situation)
        if smallest > design.sizes[0] / 2:
            yield (
                f"Sizes below {short(smallest)} would reach a share of {MOST_SHARE:g} before half of their facts are "
                "retained; the design has none."
            )
    if text_tokens:
        longest = situation.tokens_per_param * design.sizes[-1]
        here, there = longest / text_tokens, situation.target_tokens / (target_text_tokens or situation.target_tokens)
        if max(here, 1.0) > _UNLIKE * max(there, 1.0) or max(there, 1.0) > _UNLIKE * max(here, 1.0):
            yield (
                f"The largest size reads its base text {_times(here)}, the target {_times(there)}: repeated text "
                "changes how much is retained. Use a text that is repeated as often."
            )
    far = situation.target / design.sizes[-1]
    if far > 25:
        yield f"The target is {far:.3g} times the largest size: predictions over such a distance are mostly refused."


def _times(passes: float) -> str:
    return "at most once" if passes <= 1 else f"{passes:.3g} times"


def _smallest_that_learns(situation: Situation) -> float:
    """Return the smallest size that retains something below the greatest share, to a tenth."""
    low, high = 1e3, 1e15
    if not situation.never_learns(low):
        return 0.0
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if situation.never_learns(middle) else (low, middle)
    return high
