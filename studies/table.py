"""Print the study's results from its run logs: by size and frequency, and how much seeds differ.

    python -m studies.table studies/five_templates/logs.tar.xz/runs

Two intervals stand beside the mean of a cell. That of questions says how well the same models would answer about other
facts like these. That with seeds adds the scatter of runs that differ in their seed alone, pooled over all cells.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

import numpy as np
from scipy.stats import t as student

from kis_plugin.retention.intervals import wilson
from kis_plugin.run.log import Retention, RunLog
from studies.logs import read_logs
from studies.seeds import scatter

COMPLETE = 0.95
MOST_FREE = 6
"""Runs that a slope wants more than."""


def last(log: RunLog, series: str) -> Retention:
    """Return the last record of a series."""
    return [record for record in log.retention if record.probe == series][-1]


def pooled(logs: list[RunLog], series: str) -> str:
    """Return accuracy over all questions of some runs, with the 95 % Wilson interval."""
    records = [last(log, series) for log in logs]
    accuracy = sum(record.correct or 0 for record in records) / sum(record.n for record in records)
    worth = sum(record.worth for record in records)
    low, high = wilson(accuracy, worth)
    return f"{accuracy:.3f} ({low:.3f} to {high:.3f})"


def with_seeds(logs: Sequence[RunLog], series: str, spread: float, free: int) -> str:
    """Return the 95 % interval of a cell's mean by Student's t: variance of its questions plus that of its seeds."""
    if not free:
        return ""
    records = [last(log, series) for log in logs]
    mean = fmean(record.accuracy for record in records)
    questions = mean * (1 - mean) / sum(record.worth for record in records)
    half = float(student.ppf(0.975, free)) * math.sqrt(questions + spread**2 / len(logs))
    return f"{max(mean - half, 0):.3f} to {min(mean + half, 1):.3f}"


def fall(logs: Sequence[RunLog], series: str) -> str:
    """Return how a series changes with each doubling of F once seen retention is 0.95, as one slope for all sizes.

    Least squares with a level for each size, so no peak is picked from the results. Interval and p-value are clustered
    by size where there are several.
    """
    runs: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for log in logs:
        if log.run.frequency and last(log, "seen").accuracy >= COMPLETE:
            runs[log.run.params].append((math.log2(log.run.frequency), last(log, series).accuracy))
    sizes = {params: np.array(points) for params, points in runs.items() if len(points) > 1}  # (runs, 2)
    within = np.concatenate([points - points.mean(axis=0) for points in sizes.values()])
    x, y = within.T
    slope, groups = float(x @ y / (x @ x)), len(sizes)
    residuals = y - slope * x
    free = len(within) - groups - 1
    variance = float(residuals @ residuals) / free / float(x @ x)
    if groups > 1:
        # Runs of one size share what is particular to it: the error is clustered by size (CR1), with the degrees of
        # freedom of the sizes, not of the runs (Cameron and Miller 2015, sections II.C and VI.B).
        owners = np.repeat(np.arange(groups), [len(points) for points in sizes.values()])
        scores = np.bincount(owners, x * residuals)  # (sizes,)
        correction = groups / (groups - 1) * (len(within) - 1) / free
        variance, free = correction * float(scores @ scores) / float(x @ x) ** 2, groups - 1
    error = math.sqrt(variance)
    half, p = student.ppf(0.975, free) * error, 2 * student.sf(abs(slope) / error, free)
    of = f"{len(within)} runs of {len(sizes)} sizes"
    return f"{slope:+.3f} ({slope - half:+.3f} to {slope + half:+.3f}) a doubling of F, p = {p:.2g}, {of}"


def main() -> None:
    """Read and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("runs", nargs="+", help="archives or folders of run logs")
    options.add_argument("--series", default="held_out", help="what is shown of each run (default: %(default)s)")
    args = options.parse_args()
    logs = [log for log in read_logs(args.runs) if log.end]
    cells: dict[tuple[int, float], list[RunLog]] = defaultdict(list)
    for log in logs:
        cells[log.run.params, log.run.frequency].append(log)
    spread, free = scatter([[last(log, args.series).accuracy for log in some] for some in cells.values()])
    shown = f"{args.series}, each run | questions (95 %) | with seeds (95 %) | seen | general loss"
    print(f"| N | F | share | runs | {shown} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for (params, frequency), some in sorted(cells.items()):
        each = ", ".join(f"{last(log, args.series).accuracy:.3f}" for log in some)
        seen = fmean(last(log, "seen").accuracy for log in some)
        loss = fmean(log.loss[-1].loss for log in some)
        share = fmean(log.run.share or 0.0 for log in some)
        print(
            f"| {params:,} | {frequency:g} | {share:.2f} | {len(some)} | {each} | {pooled(some, args.series)} | "
            f"{with_seeds(some, args.series, spread, free)} | {seen:.3f} | {loss:.2f} |"
        )
    several = sum(len(some) > 1 for some in cells.values())
    print(f"\nStandard deviation of a run's {args.series}, from {several} cells of several seeds: {spread:.3f}")
    if probed := [log for log in logs if any(record.probe == "control" for record in log.retention)]:
        print(f"Controls, all runs: {pooled(probed, 'control')}; chance is 0.25")
    if sum(last(log, "seen").accuracy >= COMPLETE for log in logs) > MOST_FREE:
        print(f"Where seen retention is {COMPLETE} or more, {args.series} goes {fall(logs, args.series)}")
    exact = sum(
        log.end is not None
        and log.end.achieved_frequency is not None
        and log.end.achieved_frequency["min"] == log.end.achieved_frequency["max"] == log.run.frequency
        for log in logs
    )
    print(f"Logs that say that every fact was shown exactly F times: {exact} of {len(logs)}")


if __name__ == "__main__":
    main()
