"""Budgets of compute: FLOPs, or hours of a named GPU."""

from __future__ import annotations

import math
import re

from kis_plugin.errors import KISError, Problem, nearest

__all__ = ["GPUS", "USED", "flops_of", "gpu_hours_text"]

GPUS = {
    "V100": 125e12,
    "A100": 312e12,
    "L40S": 362e12,
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
    "MI250X": 383e12,
    "MI300X": 1307e12,
}
"""Peak FLOP/s of dense matrix products in bf16 (V100: fp16), from the makers' data sheets (SXM, OAM)."""
USED = 0.4
"""Part of the peak that training reaches (model FLOPs utilisation); small models reach less."""
_HOURS = re.compile(r"(?P<hours>\d+(?:\.\d+)?(?:e\d{1,2})?)\s*h\s*:\s*(?P<gpu>[\w-]+)", re.IGNORECASE | re.ASCII)
_MOST = 1e30


def flops_of(budget: str, used: float = USED, where: str = "--budget") -> float:
    """Return the FLOPs of a budget.

    Args:
        budget: FLOPs as ``1e21``, or GPU-hours as ``500h:H100``.
        used: Part of the peak that training reaches.
        where: The option, for problems.

    Raises:
        KISError: It is neither.
    """
    if match := _HOURS.fullmatch(budget.strip()):
        gpu = {name.upper(): name for name in GPUS}.get(match["gpu"].upper())
        if gpu is None:
            raise KISError(Problem(where, f"GPU {match['gpu']!r}", "a known one", nearest(match["gpu"], GPUS)))
        value = float(match["hours"]) * 3600 * GPUS[gpu] * used
    else:
        try:
            value = float(budget)
        except ValueError:
            value = math.nan
    if not 1 <= value <= _MOST:
        hint = f"GPUs: {', '.join(GPUS)}."
        raise KISError(Problem(where, repr(budget), "FLOPs such as 1e21, or GPU-hours such as 500h:H100", hint))
    return value


def gpu_hours_text(flops: float, gpu: str = "H100", used: float = USED) -> str:
    """Return FLOPs as hours of a GPU."""
    return f"{flops / (GPUS[gpu] * used * 3600):,.3g} {gpu}-hours at {used:.0%} of the peak"
