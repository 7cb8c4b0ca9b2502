"""Templates at equal exposures: held-out and seen retention by number of training templates, size and batch.

    python -m studies.fictional.templates studies/fictional/logs.tar.xz/templates --picture templates.svg

Means over seeds with 95 % intervals, by Student's t with the standard deviation of seeds pooled over all cells.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

from kis_plugin.run.log import RunLog
from studies.fictional.cells import Cell, gain, grouped, half_width, mean
from studies.picture import bare, save

mpl.use("agg")
import matplotlib.pyplot as plt

__all__ = ["draw", "of_arm"]

COLORS = {512: "#08519c", 1024: "#a50f15"}
Cells = Mapping[Cell, Sequence[RunLog]]


def of_arm(cell: Cell) -> tuple[int, int, int]:
    """Return tokens a step, N and templates of a cell."""
    found = re.search(r"t(\d+)-b(\d+)", cell[0])
    assert found is not None
    return int(found[2]), cell[1], int(found[1])


def draw(cells: Cells, picture: Path) -> None:
    """Draw held-out and seen retention over the number of templates, a panel a size."""
    sizes = sorted({cell[1] for cell in cells})
    figure, panels = plt.subplots(
        1, len(sizes), figsize=(4.2 * len(sizes), 3.6), sharey=True, squeeze=False, layout="constrained"
    )
    for panel, params in zip(panels[0], sizes, strict=True):
        for batch, color in COLORS.items():
            mine = sorted((of_arm(cell)[2], cell) for cell in cells if of_arm(cell)[:2] == (batch, params))
            counts, means = [count for count, _ in mine], [mean(cells[cell], "held_out") for _, cell in mine]
            error = [half_width(cells, "held_out", len(cells[cell])) for _, cell in mine]
            about = f"{batch:,} tokens a step"
            panel.errorbar(
                counts, means, error, fmt="o-", ms=4, lw=1.4, capsize=2, color=color, label=f"held-out, {about}"
            )
            seen = [mean(cells[cell], "seen") for _, cell in mine]
            panel.plot(counts, seen, "o--", ms=4, lw=0.8, mfc="none", color=color, label=f"seen, {about}")
        panel.axhline(0.25, ls="--", lw=0.8, color="gray")
        panel.set(xscale="log", ylim=(0.2, 1.03), xlabel="training templates of a fact")
        panel.set_title(f"N = {params:,}", fontsize=10)
        panel.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
        bare(panel)
    panels[0][0].set_ylabel("accuracy at the end, 320 exposures")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    save(figure, picture)


def main() -> None:
    """Print the table and the gains, draw the picture."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", nargs="+", help="archives or folders of run logs")
    options.add_argument("--picture", type=Path, help="file to write: .svg, .png or .pdf")
    args = options.parse_args()
    cells = grouped(args.logs)
    table = Table("tokens a step", "N", "templates", "share", "runs", "held-out (95 %)", "seen", "general loss")
    rows = sorted((*of_arm(cell), cell) for cell in cells)
    for batch, params, count, cell in rows:
        logs = cells[cell]
        middle, half = mean(logs, "held_out"), half_width(cells, "held_out", len(logs))
        table.add_row(
            f"{batch:,}", f"{params:,}", f"{count}", f"{fmean(log.run.share or 0 for log in logs):.2f}",
            f"{len(logs)}", f"{middle:.3f} ({middle - half:.3f} to {middle + half:.3f})",
            f"{mean(logs, 'seen'):.3f}", f"{mean(logs, 'loss'):.2f}",
        )  # fmt: skip
    Console(width=110).print(table)
    for batch, params in sorted({row[:2] for row in rows}):
        mine = [(count, cell) for b, n, count, cell in rows if (b, n) == (batch, params)]
        for (one, first), (other, second) in combinations(mine, 2):
            print(f"{batch:,} tokens a step, N = {params:,}: {one} to {other} templates {gain(cells, first, second)}")
    if args.picture:
        draw(cells, args.picture)


if __name__ == "__main__":
    main()
