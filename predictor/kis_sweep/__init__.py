"""Sweeps: which small models to train at which infusion frequencies, training them, and choosing the next ones.

``kis sweep`` is how sweeps are planned and run. The names exported here are for plugins that add a training framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kis_sweep.protocols import Framework
    from kis_sweep.run_spec import Recipe, Shape, SweepRun

__all__ = ["Framework", "Recipe", "Shape", "SweepRun"]

_HOMES = {"Framework": "protocols", "Recipe": "run_spec", "Shape": "run_spec", "SweepRun": "run_spec"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
