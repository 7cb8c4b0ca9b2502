"""Number of facts, templates and guards that act: means over seeds, and the differences that the plans name.

    python -m studies.second_round.outcome studies/second_round/logs.tar.xz studies/collapse/logs.tar.xz

``--picture outcome.svg`` draws number of facts and templates.

Means and differences with 95 % intervals by Student's t, from the standard deviation of seeds pooled over the cells of
a table. ``core`` is the hundred facts that are in every set. Where a guard reported nothing before the last evaluation,
the run counts with the end of its ``warn`` run in every arm.
"""

from __future__ import annotations

import argparse
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean, variance
from typing import Any, NamedTuple

import matplotlib as mpl
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from kis_plugin.run.log import RunLog
from studies.collapse.plan import ACTIONS
from studies.fictional.cells import Cell, ends, grouped
from studies.picture import bare, save
from studies.second_round.plan import CORE
from studies.seeds import half_width

mpl.use("agg")
import matplotlib.pyplot as plt

__all__ = ["acted", "counts", "draw", "guards", "templates"]

Cells = Mapping[Cell, Sequence[RunLog]]
CORE_SERIES = f"held_out/domain/{CORE}"
BASELINE = re.compile(r"guard/(?:fixed|warn)-")
"""Arms with 200 facts and ten templates, to which those of the other parts are compared."""
GUARDED = re.compile(rf"(?:guard|long)/(warn|fixed|{'|'.join(ACTIONS)})(?:-\w+)?$")
"""Arms by what the guard did; ``long`` are those of ``studies.collapse``."""
MIDDLE_SIZE = 474_320
COLORS = ("#9ecae1", "#3182bd", "#08306b")


class Setting(NamedTuple):
    """A cell of a table."""

    amount: int
    """Facts, or training templates of a fact."""
    frequency: float
    share: float
    cell: Cell


def counts(cells: Cells) -> list[Setting]:
    """Return the cells with 100, 200 and 400 facts at 474,320 parameters, by number and F."""
    return [each for each in _settings(cells, r"counts/facts-(\d+)$", 200) if each.cell[1] == MIDDLE_SIZE]


def templates(cells: Cells) -> list[Setting]:
    """Return the cells with 5, 10 and 20 training templates, by size, number and F."""
    found = _settings(cells, r"(?:templates|most|larger)/t(\d+)$", 10)
    sizes = {each.cell[1] for each in found if not BASELINE.search(each.cell[0])}
    return sorted((each for each in found if each.cell[1] in sizes), key=lambda each: (each.cell[1], each[:2]))


def _settings(cells: Cells, arm: str, baseline: int) -> list[Setting]:
    """Return the cells whose arm matches, its group being the amount, and those of the baseline."""
    found = []
    for cell, logs in cells.items():
        named = re.search(arm, cell[0])
        if named or BASELINE.search(cell[0]):
            share = fmean(log.run.share or 0.0 for log in logs)
            found.append(Setting(int(named[1]) if named else baseline, cell[3], share, cell))
    return sorted(found)


def values_of(logs: Sequence[RunLog], series: str) -> list[float]:
    """Return what a series ended at in each run. The set of a hundred facts is the core, and has no breakdown by it."""
    return ends(logs, series) or ends(logs, series.partition("/")[0])


def spread(values: Mapping[Any, Sequence[float]], mine: Sequence[float]) -> str:
    """Return the mean of a cell with its 95 % interval."""
    half, middle = half_width(values.values(), len(mine)), fmean(mine)
    return f"{middle:.3f} ({max(middle - half, 0):.3f} to {min(middle + half, 1):.3f})"


def table(settings: Sequence[Setting], cells: Cells, what: str, series: Mapping[str, str]) -> Table:
    """Return a row a cell: each seed and the mean of the first series, means of the others."""
    first, *others = series
    values = {setting.cell: values_of(cells[setting.cell], series[first]) for setting in settings}
    out = Table("N", what, "F", "share", f"{first}, each seed", f"{first} (95 %)", *others, "general loss")
    for setting in settings:
        logs, mine = cells[setting.cell], values[setting.cell]
        out.add_row(
            f"{setting.cell[1]:,}", f"{setting.amount}", f"{setting.frequency:g}", f"{setting.share:.2f}",
            " ".join(f"{value:.3f}" for value in mine), spread(values, mine),
            *(f"{fmean(values_of(logs, series[name])):.3f}" for name in others), f"{fmean(ends(logs, 'loss')):.2f}",
        )  # fmt: skip
    return out


def differences(settings: Sequence[Setting], cells: Cells, series: str) -> list[str]:
    """Return a line for each two cells that differ in the amount alone, at the same F or share, or in F alone."""
    values = {setting.cell: values_of(cells[setting.cell], series) for setting in settings}
    lines = []
    for one, other in combinations(settings, 2):
        same = [name for name in ("amount", "frequency", "share") if alike(getattr(one, name), getattr(other, name))]
        if one.cell[1] != other.cell[1] or not same:
            continue
        first, second = values[one.cell], values[other.cell]
        change = fmean(second) - fmean(first)
        half = half_width(values.values(), 1 / (1 / len(first) + 1 / len(second)))
        what = f"N = {one.cell[1]:,}, same {' and '.join(same)}: {change:+.3f}"
        ends_of = f"{one.amount}, F = {one.frequency:g} to {other.amount}, F = {other.frequency:g}"
        lines.append(f"{what} ({change - half:+.3f} to {change + half:+.3f}) from {ends_of}")
    return lines


def alike(one: float, other: float) -> bool:
    """Return whether two amounts are the same but for rounding to whole exposures."""
    return 0.95 < one / other < 1.05


class Guarded(NamedTuple):
    """What became of a size and seed, by action of the guard."""

    params: int
    seed: int
    reported: float | None
    """Part of the run at which a collapse was first reported; None if it was not, or at the last evaluation alone."""
    best: float
    """Highest held-out retention of the ``warn`` run."""
    ends: Mapping[str, tuple[float, float, float]]
    """Held-out and seen retention and general loss at the end, by action."""


def guards(cells: Cells) -> list[Guarded]:
    """Return those of all ``warn`` runs, by size and seed; an action that did not act has the values of ``warn``."""
    runs: dict[str, dict[tuple[int, int], RunLog]] = defaultdict(dict)
    for (arm, *_), logs in cells.items():
        if named := GUARDED.search(arm):
            runs[named[1]].update({(log.run.params, log.run.seed or 0): log for log in logs})
    found = []
    for place, log in sorted(runs["warn"].items()):
        values = {action: _end(runs[action].get(place, log)) for action in ("warn", *ACTIONS)}
        held_out = [record.accuracy for record in log.retention if record.probe == "held_out"]
        found.append(Guarded(*place, acted(log), max(held_out), values))
    return found


def acted(log: RunLog) -> float | None:
    """Return the part of a run at which its guard could act: at the first report of a collapse but the last."""
    at = next((record.tokens for record in log.guard if record.verdict == "collapse"), None)
    part = None if at is None else at / log.run.tokens
    return part if part is not None and part < 0.999 else None


def _end(log: RunLog) -> tuple[float, float, float]:
    return ends([log], "held_out")[0], ends([log], "seen")[0], log.loss[-1].loss


def guard_table(found: Sequence[Guarded]) -> Table:
    """Return a row a run."""
    out = Table(
        "N", "seed", "reported at", "best on the way", *(f"{action}: held-out (seen)" for action in found[0].ends)
    )
    for each in found:
        out.add_row(
            f"{each.params:,}", f"{each.seed}", "" if each.reported is None else f"{each.reported:.1f}",
            f"{each.best:.3f}", *(f"{held_out:.3f} ({seen:.3f})" for held_out, seen, _ in each.ends.values()),
        )  # fmt: skip
    return out


def means(found: Sequence[Guarded], cells: Cells) -> Table:
    """Return a row a size: the mean end by action, and that of the best fixed amount."""
    values: dict[tuple[int, str], list[float]] = defaultdict(list)
    for each in found:
        for action, (held_out, *_) in each.ends.items():
            values[each.params, action].append(held_out)
    for cell, logs in cells.items():
        if (named := GUARDED.search(cell[0])) and named[1] == "fixed":
            values[cell[1], f"fixed, F = {cell[3]:g}"] = ends(logs, "held_out")
    out = Table("N", "action", "runs", "held-out (95 %)")
    for (params, action), mine in sorted(values.items()):
        out.add_row(f"{params:,}", action, f"{len(mine)}", spread(values, mine))
    return out


def paired(changes: Sequence[float]) -> str:
    """Return the mean of differences between runs that are the same up to the report, with its 95 % interval."""
    middle, free = fmean(changes), len(changes) - 1
    half = float(student.ppf(0.975, free)) * math.sqrt(variance(changes) / len(changes)) if free else math.nan
    return f"{middle:+.3f} ({middle - half:+.3f} to {middle + half:+.3f})"


def draw(cells: Cells, picture: Path) -> None:
    """Draw core retention by number of facts over F and over the share, and held-out retention by templates."""
    figure, panels = plt.subplots(1, 3, figsize=(10.5, 3.6), sharey=True, layout="constrained")
    numbers = counts(cells)
    sentences = [each for each in templates(cells) if each.cell[1] == MIDDLE_SIZE]
    parts = (
        (panels[0], numbers, CORE_SERIES, "frequency", "exposures per fact (F)", "facts"),
        (panels[1], numbers, CORE_SERIES, "share", "share of all tokens", "facts"),
        (panels[2], sentences, "held_out", "share", "share of all tokens", "training templates"),
    )
    for panel, settings, series, axis, label, unit in parts:
        values = {setting.cell: values_of(cells[setting.cell], series) for setting in settings}
        for color, amount in zip(COLORS, sorted({setting.amount for setting in settings}), strict=False):
            points = [setting for setting in settings if setting.amount == amount]
            x = [getattr(point, axis) for point in points]
            y = [fmean(values[point.cell]) for point in points]
            error = [half_width(values.values(), len(values[point.cell])) for point in points]
            panel.errorbar(x, y, error, fmt="o-", ms=4, lw=1.4, capsize=2, color=color, label=f"{amount} {unit}")
        panel.axhline(0.25, ls="--", lw=0.8, color="gray")
        panel.set(xlabel=label, ylim=(0.0, 1.03))
        panel.legend(frameon=False, fontsize=8, loc="lower left")
        bare(panel)
    panels[0].set(xscale="log")
    panels[0].set_xticks([100, 200, 400, 800], ["100", "200", "400", "800"])
    panels[0].set_ylabel("held-out accuracy at the end")
    bare(panels[0])
    save(figure, picture)


def main() -> None:
    """Print the tables and differences, draw the picture."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", nargs="+", help="archives or folders of run logs")
    options.add_argument("--picture", type=Path, help="file to write: .svg, .png or .pdf")
    args = options.parse_args()
    cells, out = grouped(args.logs), Console(width=150)
    parts = (
        ("facts", counts(cells), {"core": CORE_SERIES, "core, seen": f"seen/domain/{CORE}", "all": "held_out"}),
        ("templates", templates(cells), {"held-out": "held_out", "seen": "seen"}),
    )
    for what, settings, series in parts:
        out.print(table(settings, cells, what, series))
        print("\n".join(differences(settings, cells, next(iter(series.values())))))
    found = guards(cells)
    out.print(guard_table(found))
    out.print(means(found, cells))
    for action in ACTIONS:
        changes = [each.ends[action][0] - each.ends["warn"][0] for each in found if each.reported is not None]
        print(f"{action} in place of warn, where a guard acted: {paired(changes)}, {len(changes)} runs")
    if args.picture:
        draw(cells, args.picture)


if __name__ == "__main__":
    main()
