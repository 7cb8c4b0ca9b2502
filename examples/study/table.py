"""Print the study's results from its run logs: by size and frequency, and how much seeds differ.

python examples/study/table.py examples/study/runs
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import fmean

from scipy.stats import binomtest

from kis_plugin.runlog import Retention, RunLog, read_run_log


def last(log: RunLog, series: str) -> Retention:
    """Return the last record of a series."""
    return [record for record in log.retention if record.probe == series][-1]


def pooled(logs: list[RunLog], series: str) -> str:
    """Return accuracy over all questions of some runs, with the 95 % Wilson interval."""
    records = [last(log, series) for log in logs]
    found = binomtest(sum(record.correct or 0 for record in records), sum(record.n for record in records))
    interval = found.proportion_ci(0.95, method="wilson")
    return f"{found.statistic:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def main() -> None:
    """Read and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("runs", type=Path, help="folder with run logs")
    logs = [read_run_log(path) for path in sorted(options.parse_args().runs.rglob("kis.jsonl"))]
    cells: dict[tuple[int, float], list[RunLog]] = defaultdict(list)
    for log in logs:
        cells[log.run.params, log.run.frequency].append(log)
    print("| N | F | share | runs | held-out, each run | held-out, pooled (95 %) | seen | general loss |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (params, frequency), some in sorted(cells.items()):
        each = ", ".join(f"{last(log, 'held_out').accuracy:.3f}" for log in some)
        seen = fmean(last(log, "seen").accuracy for log in some)
        loss = fmean(log.loss[-1].loss for log in some)
        share = fmean(log.run.share or 0.0 for log in some)
        print(
            f"| {params:,} | {frequency:g} | {share:.2f} | {len(some)} | {each} | {pooled(some, 'held_out')} | "
            f"{seen:.3f} | {loss:.2f} |"
        )
    pairs = [[last(log, "held_out").accuracy for log in some] for some in cells.values() if len(some) == 2]
    spread = (fmean((one - other) ** 2 for one, other in pairs) / 2) ** 0.5 if pairs else float("nan")
    print(f"\nStandard deviation of a run's held-out retention, from {len(pairs)} pairs of seeds: {spread:.3f}")
    print(f"Controls, all runs: {pooled(logs, 'control')}; chance is 0.25")
    exact = sum(
        log.end is not None
        and log.end.achieved_frequency is not None
        and log.end.achieved_frequency["min"] == log.end.achieved_frequency["max"] == log.run.frequency
        for log in logs
    )
    print(f"Logs that say that every fact was shown exactly F times: {exact} of {len(logs)}")


if __name__ == "__main__":
    main()
