"""Methods of kis-predict as they were when a study named them, so that its figures stay those of its plan.

A later method answers otherwise; what it says of runs that were known when it was made is no prediction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kis_predict.curves import intervals
from kis_predict.laws import built_in

__all__ = ["method_3"]

_METHOD_3: tuple[tuple[object, str, float], ...] = (
    (intervals, "MISFIT", 0.0),
    (built_in, "CAUTION", 1.0),
    (built_in.CurvedLaw, "prior_weight", 0.28),
    (built_in.CeilingLaw, "prior_weight", 0.24),
)
"""All in which method 4 differs from it: where the constant is, its name, and its value then."""


@contextmanager
def method_3() -> Iterator[None]:
    """Estimate and predict by method 3 inside the block."""
    before = [getattr(place, name) for place, name, _ in _METHOD_3]
    try:
        for place, name, value in _METHOD_3:
            setattr(place, name, value)
        yield
    finally:
        for (place, name, _), value in zip(_METHOD_3, before, strict=True):
            setattr(place, name, value)
