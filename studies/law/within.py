"""Does retention fall with the share, or with the place in a run? Evaluations within the runs, at equal exposures.

    python -m studies.law.within studies/law/logs.tar.xz

An evaluation counts where seen retention is 0.93 or more. Intervals are 95 %, by Student's t from means or slopes of
sizes and budgets, as evaluations of a run, and runs of a size, are not independent.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from studies.logs import read_logs

__all__ = ["Evaluation", "best_and_end", "evaluations", "slopes"]

LEARNED = 0.93
"""Seen retention from which facts count as learned."""
EXPOSURES = (115, 170)
SHARES = ((0.2, 0.32), (0.32, 0.6), (0.6, 0.8))
FROM = 474_000
"""Smallest N compared at equal exposures: below it, seen retention is not complete there."""


class Evaluation(NamedTuple):
    """Retention of a run at one evaluation."""

    place: tuple[int, int]
    """N and D."""
    run: str
    share: float
    part: float
    """Of the run that is over."""
    exposures: float
    """Of each fact so far."""
    frequency: float
    held_out: float
    seen: float


def evaluations(places: Sequence[str]) -> Iterator[Evaluation]:
    """Yield those of the finished infused runs at some places, but for the first of each."""
    for log in read_logs(places):
        run = log.run
        if not (log.end and run.frequency and run.share):
            continue
        seen = {record.step: record.accuracy for record in log.retention if record.probe == "seen"}
        for record in log.retention:
            if record.probe == "held_out" and record.step:
                part = min(record.tokens / run.tokens, 1.0)
                yield Evaluation(
                    (run.params, run.tokens), run.run_id, run.share, part, part * run.frequency, run.frequency,
                    record.accuracy, seen.get(record.step, math.nan),
                )  # fmt: skip


def interval(values: Sequence[float]) -> str:
    """Return the mean of independent values with its 95 % interval."""
    middle = fmean(values)
    if len(values) < 2:
        return f"{middle:.3f}"
    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return f"{middle:.3f} ({middle - half:.3f} to {middle + half:.3f})"


def slopes(found: Sequence[Evaluation]) -> tuple[list[float], list[float]]:
    """Return the coefficients of the share and of the part of the run that is over, one a size and budget.

    Held-out retention of the evaluations at which facts are learned is fitted by least squares with the share and the
    part; only sizes and budgets with ten such evaluations or more count.
    """
    by_place: dict[tuple[int, int], list[Evaluation]] = defaultdict(list)
    for each in found:
        if each.seen >= LEARNED:
            by_place[each.place].append(each)
    share, part = [], []
    for mine in by_place.values():
        if len(mine) < 10:
            continue
        design = np.array([[1.0, each.share, each.part] for each in mine])  # (evaluations, 3)
        betas = np.linalg.lstsq(design, np.array([each.held_out for each in mine]), rcond=None)[0]
        share.append(float(betas[1]))
        part.append(float(betas[2]))
    return share, part


def best_and_end(found: Sequence[Evaluation]) -> list[tuple[Evaluation, float]]:
    """Return the last evaluation of each run whose facts are learned at its end, with the best one on its way."""
    by_run: dict[str, list[Evaluation]] = defaultdict(list)
    for each in found:
        by_run[each.run].append(each)
    return [(mine[-1], max(each.held_out for each in mine)) for mine in by_run.values() if mine[-1].seen >= LEARNED]


def per_doubling(runs: Sequence[tuple[Evaluation, float]], best: bool) -> list[float]:
    """Return by how much retention rises with a doubling of F, one a size and budget with three runs or more."""
    by_place: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for end, highest in runs:
        by_place[end.place].append((math.log2(end.frequency), highest if best else end.held_out))
    found = [np.array(mine).T for mine in by_place.values() if len(mine) > 2]  # (2, runs) each: log2 F, retention
    return [float(np.polyfit(x, y, 1)[0]) for x, y in found]


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", nargs="+", help="archives or folders of run logs")
    found = list(evaluations(options.parse_args().logs))
    out = Console(width=100)
    table = Table("share", f"evaluations at {EXPOSURES[0]} to {EXPOSURES[1]} exposures", "runs", "sizes", "held-out")
    for low, high in SHARES:
        by_place: dict[tuple[int, int], list[Evaluation]] = defaultdict(list)
        for each in found:
            learned = each.seen >= LEARNED and each.place[0] >= FROM
            if learned and low <= each.share < high and EXPOSURES[0] <= each.exposures <= EXPOSURES[1]:
                by_place[each.place].append(each)
        mine = [each for some in by_place.values() for each in some]
        means = [fmean(each.held_out for each in some) for some in by_place.values()]
        runs = {each.run for each in mine}
        table.add_row(
            f"{low:g} to {high:g}", f"{len(mine)}", f"{len(runs)}", f"{len(means)}", interval(means) if means else ""
        )
    out.print(table)
    share, part = slopes(found)
    ended = best_and_end(found)
    print(f"{len(share)} sizes and budgets: share {interval(share)}, part of the run {interval(part)}")
    print(f"{len(ended)} runs, a doubling of F: end {interval(per_doubling(ended, False))}, "
          f"best on the way {interval(per_doubling(ended, True))}")  # fmt: skip
    lost = [highest - end.held_out for end, highest in ended if end.share > 0.45]
    print(f"{len(lost)} runs at shares above 0.45: {fmean(lost):.3f} below their best at the end")


if __name__ == "__main__":
    main()
