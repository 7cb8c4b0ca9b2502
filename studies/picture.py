"""Pictures of the studies: panels without what says nothing, and files that are the same bytes for the same logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

__all__ = ["bare", "save"]


def bare(panel: Any) -> None:
    """Leave out minor ticks and the upper and right border of a panel."""
    panel.minorticks_off()
    panel.spines[["top", "right"]].set_visible(False)


def save(figure: Any, picture: Path) -> None:
    """Write a figure as .svg, .png or .pdf; the same logs give the same bytes of an .svg."""
    mpl.rcParams["svg.hashsalt"] = "kis"
    figure.savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None)
