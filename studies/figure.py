"""Draw retention against infusion frequency from run logs.

    python -m studies.figure studies/law/logs.tar.xz/runs studies/law/retention.svg --loss

One panel a token budget; with --loss, general loss below it. Filled dots and lines: held-out retention, with its 95 %
Wilson interval; open dots: seen retention; the dashed line is chance. Several seeds of a run are pooled. Points above a
share of 0.9 are left out.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl

from kis_plugin.retention.intervals import wilson
from kis_plugin.run.log import RunLog
from kis_predict.sweep import MOST_SHARE
from studies.logs import read_logs
from studies.picture import bare, save

mpl.use("agg")
import matplotlib.pyplot as plt

COLORS = ("#9ecae1", "#4292c6", "#08519c", "#08306b", "#000000", "#a50f15", "#fd8d3c")


def pooled(logs: list[RunLog], series: str) -> tuple[float, float, float]:
    """Return the accuracy of one series at the end over several runs, and its 95 % interval."""
    last = [[record for record in log.retention if record.probe == series][-1] for log in logs]
    accuracy = sum(record.correct or 0 for record in last) / sum(record.n for record in last)
    worth = sum(record.worth for record in last)
    return accuracy, *wilson(accuracy, worth)


def draw(places: Sequence[str], picture: Path, loss: bool) -> None:
    """Read every finished run at ``places`` and write ``picture``, with a row of panels for ``loss`` if wanted."""
    runs: dict[int, dict[int, dict[float, list[RunLog]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for log in read_logs(places):
        if log.end and log.run.frequency and (log.run.share or 0) <= MOST_SHARE:
            runs[log.run.tokens][log.run.params][log.run.frequency].append(log)
    rows = 1 + loss
    size = (4.6 * len(runs) + 0.6, 3.8 if rows == 1 else 6.2)
    figure, panels = plt.subplots(rows, len(runs), figsize=size, sharey="row", squeeze=False, layout="constrained")
    colors = dict(zip(sorted({params for sizes in runs.values() for params in sizes}), COLORS, strict=False))
    for column, (tokens, sizes) in enumerate(sorted(runs.items())):
        panel = panels[0][column]
        for params, points in sorted(sizes.items()):
            frequencies = sorted(points)
            held_out = [pooled(points[f], "held_out") for f in frequencies]
            seen = [pooled(points[f], "seen")[0] for f in frequencies]
            errors = [[h[0] - h[1] for h in held_out], [h[2] - h[0] for h in held_out]]
            panel.errorbar(
                frequencies, [h[0] for h in held_out], errors, fmt="o-", ms=4, lw=1.4, elinewidth=0.8,
                color=colors[params], label=f"N = {params / 1e6:.2f}M",
            )  # fmt: skip
            panel.plot(frequencies, seen, "o", ms=4, mfc="none", mew=0.8, color=colors[params])
            if loss:
                draw_loss(panels[1][column], points, colors[params])
        panel.axhline(0.25, ls="--", lw=0.8, color="gray")
        panel.set(ylim=(0.15, 1.03))
        panels[-1][column].set_xlabel("infusion frequency F (exposures per fact)")
        panel.set_title(f"D = {tokens / 1e6:.3g}M tokens", fontsize=10)
        ticks: list[float] = []
        for frequency in sorted({f for points in sizes.values() for f in points}):
            if not ticks or frequency > 1.15 * ticks[-1]:  # labels of neighbours would lie on each other
                ticks.append(frequency)
        for each in panels[:, column]:
            each.set_xscale("log")
            each.set_xticks(ticks, [f"{f:g}" for f in ticks], fontsize=8)
            bare(each)
    panels[0][0].set_ylabel("accuracy at the end of the run")
    if loss:
        panels[1][0].set_ylabel("general loss, nats per token")
    # One legend for all panels: a size need not be in every one of them.
    labels = {
        label: handle for panel in panels[0] for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    names = sorted(labels)
    title = "held-out (dots) and seen (circles)"
    handles = [labels[name] for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=8, title=title)
    save(figure, picture)


def draw_loss(panel: Any, points: dict[float, list[RunLog]], color: str) -> None:
    """Draw the last general loss of each run, and a line through their means."""
    last = {f: [log.loss[-1].loss for log in logs if log.loss] for f, logs in sorted(points.items())}
    panel.plot([f for f in last for _ in last[f]], [one for f in last for one in last[f]], "o", ms=3, color=color)
    panel.plot([*last], [fmean(last[f]) for f in last], "-", lw=1.2, color=color)


def main() -> None:
    """Draw what the command line names."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", nargs="+", help="archives or folders of run logs")
    options.add_argument("picture", type=Path, help="file to write: .svg, .png or .pdf")
    options.add_argument("--loss", action="store_true", help="draw general loss below")
    args = options.parse_args()
    draw(args.logs, args.picture, args.loss)


if __name__ == "__main__":
    main()
