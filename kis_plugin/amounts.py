"""Amounts as people write them: 7B, 350M, 1.2e9."""

from __future__ import annotations

import math
import re
from decimal import Decimal

__all__ = ["EXAMPLES", "parse_amount", "round_down", "short"]

EXAMPLES = "7B, 350M, 5k, 1.2e9 or 20000"

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_AMOUNT = re.compile(
    r"(?P<number>(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,3})?) ?(?P<unit>[KMBGT]?)", re.IGNORECASE | re.ASCII
)
_LONGEST = 60  # characters


def parse_amount(written: str | float, least: int = 1) -> int:
    """Return the whole number that is written.

    Args:
        written: ``7B``, ``350M``, ``5 k``, ``1.2e9``, ``7_000_000_000``, or a number. K, M, B (or G) and T, in either
            case, stand for 1e3, 1e6, 1e9 and 1e12.
        least: The smallest amount that is allowed.

    Raises:
        ValueError: It is no such amount, is below ``least``, does not fit 63 bits, or is no whole number: a fraction
            is refused, never rounded. The message says what was expected.
    """
    value = _exact(written)
    if value is None:
        raise ValueError(f"an amount such as {EXAMPLES}")
    if not least <= value < 2**63 or value != value.to_integral_value():
        raise ValueError(f"an amount such as {EXAMPLES}: a whole number from {least} to 9.2e18")
    return int(value)


def _exact(written: object) -> Decimal | None:
    """Return what is written without loss; None where it is no amount."""
    if isinstance(written, bool):
        return None
    if isinstance(written, (int, float)):
        return Decimal(written) if math.isfinite(written) else None
    if not isinstance(written, str) or len(written) > _LONGEST:
        return None
    match = _AMOUNT.fullmatch(written.strip())
    return Decimal(match["number"].replace("_", "")) * _UNITS[match["unit"].upper()] if match else None


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
