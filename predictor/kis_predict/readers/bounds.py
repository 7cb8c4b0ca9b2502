"""The values a run can have: how each is read, and between what limits it must lie."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping

from kis_plugin.errors import Problem
from kis_predict.observed import ObservedRun

__all__ = ["NUMBERS", "REQUIRED", "impossible", "number"]

REQUIRED = ("params", "tokens", "frequency")
_PERCENT = 100
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def _whole(value: str | float) -> int:
    number = float(value)
    if number != int(number):
        raise ValueError
    return int(number)


NUMBERS: Mapping[str, Callable[[str | float], float]] = {
    "params": _whole,
    "tokens": _whole,
    "frequency": float,
    "retention": float,
    "facts": _whole,
    "tokens_per_fact": float,
    "chance": float,
    "options": _whole,
    "n": _whole,
    "share": float,
    "seed": _whole,
    "loss": float,
}
"""The numbers of a run by name; ``options`` stands for ``chance`` = 1 / options."""


def number(name: str, value: object, where: str) -> float | Problem:
    """Return ``value`` as the number ``name``, or what is wrong with it."""
    try:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError
        found = NUMBERS[name](value)
        if not math.isfinite(found):
            raise ValueError
    except (ValueError, OverflowError):
        expected = "a whole number" if NUMBERS[name] is _whole else "a finite number"
        shown = repr(value[:60]) if isinstance(value, str) else repr(value)[:60]
        comma = isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value.strip())
        return Problem(f"{where} {name}", shown, expected, "Write decimals with a point." if comma else "")
    return found


def impossible(run: ObservedRun) -> Iterator[tuple[str, str]]:
    """Yield the names of values that no run can have, with what was expected."""
    if not 1 <= run.params <= 1e18:
        yield "params", "a number of parameters between 1 and 1e18"
    if not 1 <= run.tokens <= 1e18:
        yield "tokens", "a number of tokens between 1 and 1e18"
    if not 0 <= run.frequency <= 1e15:
        yield "frequency", "exposures per fact, 0 or more"
    if run.retention is not None and not 0 <= run.retention <= 1:
        percent = " rather than per cent" if 1 < run.retention <= _PERCENT else ""
        yield "retention", f"an accuracy between 0 and 1{percent}"
    if run.n is not None and not 1 <= run.n <= 1e15:
        yield "n", "a number of probes, 1 or more"
    if run.chance is not None and not 0 < run.chance < 1:
        yield "chance", "a probability between 0 and 1, both excluded"
    if run.facts is not None and not 1 <= run.facts <= 1e15:
        yield "facts", "a number of facts, 1 or more"
    if run.tokens_per_fact is not None and not 0 < run.tokens_per_fact <= 1e9:
        yield "tokens_per_fact", "a number of tokens above 0"
    if run.share is not None and not 0 <= run.share <= 1.001:
        yield "share", "a share of D between 0 and 1"
