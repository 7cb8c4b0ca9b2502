"""Runs of the study by arm, size, budget and amount, and means of them over seeds.

    python -m studies.fictional.cells studies/fictional/logs.tar.xz/guard

Prints a row a cell: held-out retention of each seed in order, its mean with a 95 % interval by Student's t, with the
standard deviation of seeds pooled over the cells shown, and what else its logs hold.
"""

from __future__ import annotations

import argparse
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from rich.console import Console
from rich.table import Table

from kis_plugin.amounts import short
from kis_plugin.run.log import RunLog
from studies import seeds
from studies.logs import logs_by_place

__all__ = ["Cell", "ends", "gain", "grouped", "half_width", "mean"]

Cell = tuple[str, int, int, float]
"""Arm, N, D, F."""
SERIES = ("held_out", "seen", "known", "background", "control")
SEED = re.compile(r"-[012]$")  # of arms that are a sweep for each seed


def grouped(places: Sequence[str]) -> dict[Cell, list[RunLog]]:
    """Return the finished runs by cell, in the order of their seeds."""
    found: dict[Cell, list[tuple[str, RunLog]]] = defaultdict(list)
    for place in places:
        for path, log in logs_by_place(place):
            if log.end:
                arm = SEED.sub("", path.split("/N")[0])
                found[arm, log.run.params, log.run.tokens, log.run.frequency].append((path, log))
    order = {cell: sorted(logs, key=lambda each: (each[1].run.seed or 0, each[0])) for cell, logs in found.items()}
    return {cell: [log for _, log in order[cell]] for cell in sorted(order)}


def ends(logs: Sequence[RunLog], series: str) -> list[float]:
    """Return what a series ended at, of each run that has it; ``loss`` is general loss."""
    if series == "loss":
        return [log.loss[-1].loss for log in logs if log.loss]
    last = [[record.accuracy for record in log.retention if record.probe == series][-1:] for log in logs]
    return [value for values in last for value in values]


def mean(logs: Sequence[RunLog], series: str) -> float:
    """Return the mean over seeds of what a series ended at."""
    return fmean(ends(logs, series))


def half_width(cells: Mapping[Cell, Sequence[RunLog]], series: str, count: float) -> float:
    """Return half the 95 % interval of a mean of ``count`` runs, from the scatter of seeds within all cells."""
    return seeds.half_width([ends(logs, series) for logs in cells.values()], count)


def gain(cells: Mapping[Cell, Sequence[RunLog]], one: Cell, other: Cell, series: str = "held_out") -> str:
    """Return by how much a series ends higher in one cell than in another, with its 95 % interval."""
    first, second = ends(cells[one], series), ends(cells[other], series)
    value = fmean(second) - fmean(first)
    half = half_width(cells, series, 1 / (1 / len(first) + 1 / len(second)))
    return f"{value:+.3f} ({value - half:+.3f} to {value + half:+.3f})"


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", nargs="+", help="archives or folders of run logs")
    cells = grouped(options.parse_args().logs)
    table = Table("arm", "N", "D", "F", "share", "each seed", "held-out (95 %)", *SERIES[1:], "loss", "guard")
    for (arm, params, tokens, frequency), logs in cells.items():
        held_out = ends(logs, "held_out")
        half = half_width(cells, "held_out", len(held_out)) if held_out else math.nan
        middle = f"{fmean(held_out):.3f} ({fmean(held_out) - half:.3f} to {fmean(held_out) + half:.3f})"
        others = [f"{mean(logs, name):.3f}" if ends(logs, name) else "" for name in SERIES[1:]]
        verdicts = [{record.verdict for record in log.guard} - {"steady"} for log in logs]
        table.add_row(
            arm, short(params), short(tokens), f"{frequency:g}", f"{fmean(log.run.share or 0 for log in logs):.2f}",
            " ".join(f"{value:.3f}" for value in held_out), middle if held_out else "", *others,
            f"{mean(logs, 'loss'):.2f}", "; ".join(", ".join(sorted(each)) or "-" for each in verdicts),
        )  # fmt: skip
    Console(width=170).print(table)


if __name__ == "__main__":
    main()
