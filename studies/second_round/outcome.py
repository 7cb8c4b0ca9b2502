"""Number of facts, templates and guards that act: means over seeds, and the differences that the plans name.

    python -m studies.second_round.outcome studies/second_round/logs.tar.xz --picture second_round.svg

Means and differences with 95 % intervals by Student's t, from the standard deviation of seeds pooled over the cells of
a table. ``core`` is the hundred facts that are in every set. Where a guard reported nothing before the last evaluation,
the run counts with the end of its ``warn`` run in every arm.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

from kis_plugin.run.log import RunLog
from studies.collapse.plan import ACTIONS
from studies.fictional.cells import Cell, ends, gain, grouped, half_width
from studies.picture import bare, save
from studies.second_round.plan import CORE

mpl.use("agg")
import matplotlib.pyplot as plt

__all__ = ["acted", "counts", "draw", "guards", "templates"]

Cells = Mapping[Cell, Sequence[RunLog]]
CORE_SERIES = f"held_out/domain/{CORE}"
BASELINE = re.compile(r"guard/(?:fixed|warn)-480k$")
"""Arms with 200 facts and ten templates, to which those of the other parts are compared."""
COLORS = ("#9ecae1", "#3182bd", "#08306b")


class Setting(NamedTuple):
    """A cell of a table."""

    amount: int
    """Facts, or training templates of a fact."""
    frequency: float
    share: float
    cell: Cell


def counts(cells: Cells) -> list[Setting]:
    """Return the cells with 100, 200 and 400 facts, by number and F."""
    return _settings(cells, "counts/", r"facts-(\d+)$", 200)


def templates(cells: Cells) -> list[Setting]:
    """Return the cells with 5, 10 and 20 training templates, by number and F."""
    return _settings(cells, "templates/", r"t(\d+)$", 10)


def _settings(cells: Cells, part: str, amount: str, baseline: int) -> list[Setting]:
    found = []
    for cell, logs in cells.items():
        if cell[0].startswith(part) or BASELINE.search(cell[0]):
            named = re.search(amount, cell[0])
            share = fmean(log.run.share or 0.0 for log in logs)
            found.append(Setting(int(named[1]) if named else baseline, cell[3], share, cell))
    return sorted(found)


def table(settings: Sequence[Setting], cells: Cells, what: str, series: Mapping[str, str]) -> Table:
    """Return a row a cell: each seed and the mean of the first series, means of the others."""
    mine = {setting.cell: cells[setting.cell] for setting in settings}
    first, *others = series
    out = Table(what, "F", "share", f"{first}, each seed", f"{first} (95 %)", *others, "general loss")
    for setting in settings:
        logs = mine[setting.cell]
        values = ends(logs, series[first])
        half, middle = half_width(mine, series[first], len(values)), fmean(values)
        out.add_row(
            f"{setting.amount}", f"{setting.frequency:g}", f"{setting.share:.2f}",
            " ".join(f"{value:.3f}" for value in values), f"{middle:.3f} ({middle - half:.3f} to {middle + half:.3f})",
            *(f"{fmean(ends(logs, series[name])):.3f}" for name in others), f"{fmean(ends(logs, 'loss')):.2f}",
        )  # fmt: skip
    return out


def differences(settings: Sequence[Setting], cells: Cells, series: str) -> list[str]:
    """Return a line for each two cells of neighbouring amounts at the same F or share, and for both F of an amount."""
    mine = {setting.cell: cells[setting.cell] for setting in settings}
    lines = []
    for one in settings:
        for other in settings:
            if one.amount > other.amount or one == other:
                continue
            alike = [
                name
                for name, near in (("F", one.frequency / other.frequency), ("share", one.share / other.share))
                if 0.95 < near < 1.05
            ]
            if one.amount == other.amount and one.frequency < other.frequency:
                alike = ["number"]
            if alike:
                change = gain(mine, one.cell, other.cell, series)
                lines.append(
                    f"same {' and '.join(alike)}: {one.amount} at F = {one.frequency:g} to {other.amount} at "
                    f"F = {other.frequency:g}: {change}"
                )
    return lines


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
        named = re.search(rf"guard/(warn|{'|'.join(ACTIONS)})-", arm)
        for log in logs if named else []:
            runs[named[1]][log.run.params, log.run.seed or 0] = log  # type: ignore[index]
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


def draw(cells: Cells, picture: Path) -> None:
    """Draw core retention by number of facts over F and over the share, and held-out retention by templates."""
    figure, panels = plt.subplots(1, 3, figsize=(10.5, 3.6), sharey=True, layout="constrained")
    numbers, sentences = counts(cells), templates(cells)
    parts = (
        (panels[0], numbers, CORE_SERIES, "frequency", "exposures per fact (F)", "facts"),
        (panels[1], numbers, CORE_SERIES, "share", "share of all tokens", "facts"),
        (panels[2], sentences, "held_out", "share", "share of all tokens", "training templates"),
    )
    for panel, settings, series, axis, label, unit in parts:
        mine = {setting.cell: cells[setting.cell] for setting in settings}
        for color, amount in zip(COLORS, sorted({setting.amount for setting in settings}), strict=False):
            points = [setting for setting in settings if setting.amount == amount]
            values = [ends(mine[point.cell], series) for point in points]
            error = [half_width(mine, series, len(each)) for each in values]
            x = [getattr(point, axis) for point in points]
            name = f"{amount} {unit}"
            panel.errorbar(
                x, [fmean(each) for each in values], error, fmt="o-", ms=4, lw=1.4, capsize=2, color=color, label=name
            )
        panel.axhline(0.25, ls="--", lw=0.8, color="gray")
        panel.set(xlabel=label, ylim=(0.2, 1.0))
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
    options.add_argument("logs", help="archive or folder of run logs")
    options.add_argument("--picture", type=Path, help="file to write: .svg, .png or .pdf")
    args = options.parse_args()
    cells, out = grouped([args.logs]), Console(width=150)
    parts = (
        ("facts", counts(cells), {"core": CORE_SERIES, "core, seen": f"seen/domain/{CORE}", "all": "held_out"}),
        ("templates", templates(cells), {"held-out": "held_out", "seen": "seen"}),
    )
    for what, settings, series in parts:
        out.print(table(settings, cells, what, series))
        print("\n".join(differences(settings, cells, next(iter(series.values())))))
    found = guards(cells)
    out.print(guard_table(found))
    for action in ACTIONS:
        changes = [each.ends[action][0] - each.ends["warn"][0] for each in found if each.reported is not None]
        if changes:
            print(f"{action} in place of warn, where a guard acted: {fmean(changes):+.3f}, {len(changes)} runs")
    if args.picture:
        draw(cells, args.picture)


if __name__ == "__main__":
    main()
