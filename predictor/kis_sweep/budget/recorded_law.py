"""What is assumed of retention before a sweep is run: the law that the project's own study measured.

``studies/law``: eight (N, D), 0.23M to 2.0M parameters. Least squares: log F_c falls by 0.108 (standard error 0.039) a
unit of log N and rises by 0.785 (0.076) a unit of log D. The rise of retention, half of its height, lies a factor of
3.5 below the collapse point.
"""

from __future__ import annotations

import math

__all__ = ["BY_D", "BY_N", "RISE", "log_collapse"]

BY_N, BY_N_SD = -0.108, 0.039
BY_D, BY_D_SD = 0.785, 0.076
_AT = (0.7e6, 2.25e6, 250.0)  # N, D and F_c in the middle of the study
RISE = 3.5
"""Collapse point over the frequency at which half of the height is reached."""


def log_collapse(params: float, tokens: float, by_n: float = BY_N, by_d: float = BY_D) -> float:
    """Return log F_c of a model of N parameters trained on D tokens.

    Args:
        params: N.
        tokens: D.
        by_n: Exponent of N.
        by_d: Exponent of D.
    """
    n, d, value = _AT
    return math.log(value) + by_n * math.log(params / n) + by_d * math.log(tokens / d)
