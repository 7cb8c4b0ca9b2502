"""KIS's own infusion as a plugin of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kis_plugin.hook_markers import hookimpl
from kis_plugin.infusion.infuser import PlannedInfuser
from kis_plugin.run.context import TrainingRun

__all__ = ["Infusion"]


class Infusion:
    """Answers ``kis_infuser`` unless another plugin does."""

    def __init__(self, run: TrainingRun) -> None:
        """Take part in ``run``; what is infused is read when it is needed."""

    @hookimpl
    def kis_infuser(self, run: TrainingRun, resumed: Mapping[str, Any] | None) -> PlannedInfuser:
        """Plan the run."""
        return PlannedInfuser(run, resumed)
