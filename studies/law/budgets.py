"""Do exposures decide, or their share of all tokens? Sizes trained on two budgets, laid on each other both ways.

    python -m studies.law.budgets studies/law/logs.tar.xz --picture studies/law/budgets.svg

For each pair of budgets of a size: by how much held-out retention differs between them (root mean square) where F is
the same, and where the share is, each read off the other budget's curve, linearly in log F; where both have seen
retention of 0.95, and where one of them has not. The amount that decides is the one by which they differ less.
Seeds are pooled; runs above a share of 0.9 are left out.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

from kis_plugin.run.log import RunLog
from kis_predict.sweep import MOST_SHARE
from studies.logs import read_logs
from studies.picture import bare, save

mpl.use("agg")
import matplotlib.pyplot as plt

COMPLETE = 0.95
COLORS = ("#9ecae1", "#08519c", "#fb6a4a", "#a50f15", "#a1d99b", "#006d2c", "#cbc9e2", "#54278f")
AMOUNTS = ("infusion frequency F (exposures per fact)", "share of D")

Curve = np.ndarray[tuple[int, int], np.dtype[np.float64]]
"""F, share, held-out and seen retention of one size and budget, (frequencies, 4)."""


def curves(places: Sequence[str]) -> dict[int, dict[int, Curve]]:
    """Return the curves of the sizes that have more than one budget, by N and D."""
    runs: dict[int, dict[int, dict[float, list[RunLog]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for log in read_logs(places):
        if log.end and log.run.frequency and (log.run.share or 0) <= MOST_SHARE:
            runs[log.run.params][log.run.tokens][log.run.frequency].append(log)
    return {
        params: {tokens: np.array([point(f, logs) for f, logs in sorted(of.items())]) for tokens, of in budgets.items()}
        for params, budgets in sorted(runs.items())
        if len(budgets) > 1
    }


def point(frequency: float, logs: Sequence[RunLog]) -> tuple[float, float, float, float]:
    """Return a row of a curve: means over seeds."""
    held_out, seen = (fmean(last(log, series) for log in logs) for series in ("held_out", "seen"))
    return frequency, fmean(log.run.share or 0.0 for log in logs), held_out, seen


def last(log: RunLog, series: str) -> float:
    """Return what a series ended at."""
    return [record.accuracy for record in log.retention if record.probe == series][-1]


def apart(one: Curve, other: Curve, amount: int, complete: bool) -> str:
    """Return the root mean square difference of two curves at equal amounts (0: F, 1: share), and at how many points.

    Args:
        one: A curve.
        other: Another one.
        amount: Column of the amount.
        complete: Whether points are taken where both have seen the infused facts, or the others.
    """
    differences: list[float] = []
    for mine, theirs in ((one, other), (other, one)):
        x, known = np.log(mine[:, amount]), np.log(theirs[:, amount])
        seen = np.minimum(mine[:, 3], np.interp(x, known, theirs[:, 3]))
        taken = (x >= known[0]) & (x <= known[-1]) & ((seen >= COMPLETE) == complete)
        differences.extend(mine[taken, 2] - np.interp(x[taken], known, theirs[:, 2]))
    if not differences:
        return "none"
    return f"{math.sqrt(fmean(difference**2 for difference in differences)):.3f} ({len(differences)})"


def draw(sizes: dict[int, dict[int, Curve]], picture: Path) -> None:
    """Draw each size's curves over F, and over the share."""
    figure, panels = plt.subplots(
        len(sizes), 2, figsize=(9.2, 2.9 * len(sizes) + 0.5), sharey=True, squeeze=False, layout="constrained"
    )
    colors = iter(COLORS)
    for row, (params, budgets) in zip(panels, sizes.items(), strict=True):
        for tokens, curve in sorted(budgets.items()):
            color = next(colors)
            for amount, panel in enumerate(row):
                label = f"N = {params / 1e6:.2f}M, D = {tokens / 1e6:.3g}M"
                panel.plot(curve[:, amount], curve[:, 2], "o-", ms=4, lw=1.4, color=color, label=label)
                panel.plot(curve[:, amount], curve[:, 3], "o", ms=4, mfc="none", mew=0.8, color=color)
        row[1].legend(loc="lower right", frameon=False, fontsize=8)
        row[0].set_ylabel("accuracy at the end")
        for amount, panel in enumerate(row):
            panel.axhline(0.25, ls="--", lw=0.8, color="gray")
            panel.set(xscale="log", ylim=(0.15, 1.03), xlabel=AMOUNTS[amount])
            ticks = ((60, 120, 250, 500, 1000), (0.1, 0.2, 0.4, 0.8))[amount]
            panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            bare(panel)
    figure.suptitle("held-out (dots) and seen (circles) retention of one size on two budgets", fontsize=10)
    save(figure, picture)


def main() -> None:
    """Print the table, draw the picture."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", nargs="+", help="archives or folders of run logs")
    options.add_argument("--picture", type=Path, help="file to write: .svg, .png or .pdf")
    args = options.parse_args()
    sizes = curves(args.logs)
    table = Table("N", "D", "D", "seen", "apart at equal F (points)", "apart at equal share (points)")
    for params, budgets in sizes.items():
        for one, other in combinations(sorted(budgets), 2):
            for complete, name in ((False, f"below {COMPLETE}"), (True, f"{COMPLETE} or more")):
                differences = [apart(budgets[one], budgets[other], amount, complete) for amount in range(2)]
                table.add_row(f"{params:,}", f"{one:,}", f"{other:,}", name, *differences)
    Console().print(table)
    if args.picture:
        draw(sizes, args.picture)


if __name__ == "__main__":
    main()
