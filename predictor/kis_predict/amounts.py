"""Amounts as people write them: 7B, 350M, 1.2e9."""

from __future__ import annotations

import math
import re

__all__ = ["parse_amount", "round_down", "short"]

_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}
_AMOUNT = re.compile(
    r"\s*(\d[\d_]*\.?\d*(?:e[+-]?\d{1,3})?|\.\d+(?:e[+-]?\d{1,3})?)\s*([KMBGT]?)\s*", re.IGNORECASE | re.ASCII
)


def parse_amount(text: str) -> int:
    """Return the whole number that ``text`` stands for.

    Args:
        text: ``7B``, ``350M``, ``1.2e9``, ``7_000_000_000``. K, M, B (or G) and T stand for 1e3, 1e6, 1e9 and 1e12.

    Raises:
        ValueError: It is no such amount, or not between 1 and 1e18.
    """
    match = _AMOUNT.fullmatch(text)
    if not match:
        raise ValueError("an amount such as 7B, 350M or 1.2e9")
    value = float(match[1].replace("_", "")) * _UNITS[match[2].upper()]
    if not (math.isfinite(value) and 1 <= value <= 1e18):
        raise ValueError("an amount between 1 and 1e18")
    return round(value)


def short(value: float) -> str:
    """Return ``value`` with at most three digits and a unit: 7000000000 is ``7B``, 1066112 is ``1.07M``."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e4)):
        # The next unit takes over where rounding would show 1000 of this one.
        if value >= 0.9995 * size:
            scale = 1e3 if unit == "K" else size
            return f"{_digits(value / scale)}{unit}"
    return _digits(value)


def round_down(value: float) -> float:
    """Round down to three digits: what is shown never exceeds what was found safe."""
    if value <= 0:
        return value
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.floor(value / unit * (1 + 1e-12)) * unit


def _digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:,.0f}"
    text = f"{value:.1f}" if value >= 9.995 else f"{value:.3g}"
    return text.rstrip("0").rstrip(".") if "." in text else text
