"""Draw the picture of the README and the first page: retention over infusion frequency, peak and collapse marked.

    python docs/scripts/doc_picture.py studies/law/logs.tar.xz

Of each size the token budget with most runs is drawn. Points are held-out retention of real runs, lines the fitted
rise-fall curves, marks the estimates of kis-predict. Sizes are coloured in their order, from light to dark.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters"), str(ROOT / "predictor")]
IMAGES = ROOT / "docs" / "images"
INK = "#333333"


def estimates(places: list[str]) -> list[Any]:
    """Return the curves of all sizes that the logs under ``places`` hold, from the smallest to the largest."""
    from kis_plugin.registry import registered
    from kis_predict.curves.size_estimates import estimate_sizes
    from kis_predict.readers.gather import gather
    from kis_predict.report.chart_data import size_curves
    from kis_predict.sweep import build_sweep

    most: dict[int, Any] = {}
    for group in build_sweep(gather(places, registered("log_readers")).runs).groups:
        if group.params not in most or len(group.runs) > len(most[group.params].runs):
            most[group.params] = group
    groups = [most[params] for params in sorted(most)]
    return size_curves(estimate_sizes(groups, bootstraps=200, seed=0, confidence=0.9))


def draw(curves: list[Any]) -> Figure:
    """Return the figure."""
    from kis_plugin.amounts import short

    figure = Figure(figsize=(7.6, 4.0), layout="constrained")
    axes = figure.subplots()
    colours = mpl.colormaps["viridis_r"](np.linspace(0.12, 0.95, len(curves)))
    for curve, colour in zip(curves, colours, strict=True):
        axes.plot(curve.frequency, curve.retention, "o", ms=3.5, color=colour, alpha=0.6, mew=0)
        axes.plot(curve.grid, curve.fitted, "-", lw=2, color=colour, label=short(curve.size.group.params))
        if curve.peak:
            axes.plot(*curve.peak, "^", ms=9, mfc="white", mec=colour, mew=1.6, zorder=5)
        if curve.collapse:
            axes.plot(*curve.collapse, "X", ms=9, mfc=colour, mec="white", mew=0.8, zorder=6)
    chance = curves[0].size.group.chance
    axes.axhline(chance, ls=(0, (4, 3)), lw=1, color="0.55", zorder=0)
    beside = axes.get_yaxis_transform()
    axes.text(0.995, chance - 0.008, "chance", transform=beside, ha="right", va="top", color="0.45", fontsize=9)
    axes.set_xscale("log")
    ticks = [30, 60, 100, 150, 200, 300, 400, 500]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(0.18, 1.0)
    axes.set_xlabel("infusion frequency: exposures of each fact in the run", color=INK)
    axes.set_ylabel("retention\n(accuracy on questions never trained on)", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    # The largest model on top, as its curve is.
    handles, labels = axes.get_legend_handles_labels()
    handles, labels = handles[::-1], labels[::-1]
    marks = [
        axes.plot([], [], "^", ms=9, mfc="white", mec=INK, mew=1.6, label="peak")[0],
        axes.plot([], [], "X", ms=9, mfc=INK, mec="white", mew=0.8, label="collapse point")[0],
    ]
    axes.legend(
        [*handles, *marks], [*(f"{label} parameters" for label in labels), "peak", "collapse point"],
        loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9,
    )  # fmt: skip
    return figure


def main() -> None:
    """Draw the logs that the command line names."""
    mpl.rcParams["svg.hashsalt"] = "kis"  # the same logs give the same bytes
    figure = draw(estimates(sys.argv[1:]))
    figure.savefig(IMAGES / "peak-and-collapse.svg", metadata={"Date": None})
    figure.savefig(IMAGES / "peak-and-collapse.png", dpi=110)


if __name__ == "__main__":
    main()
