"""Sweeps: which small models to train at which infusion frequencies, training them, and choosing the next ones.

``kis sweep`` is how sweeps are planned and run. The names exported here are for plugins that add a training framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kis_plugin.lazy_names import lazy_names

if TYPE_CHECKING:
    from kis_sweep.protocols import Framework
    from kis_sweep.run_spec import Recipe, Shape, SweepRun

__all__ = ["Framework", "Recipe", "Shape", "SweepRun"]

_NAMES = {".protocols": ("Framework",), ".run_spec": ("Recipe", "Shape", "SweepRun")}
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
