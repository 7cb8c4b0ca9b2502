"""What would an adaptive sweep have saved here? The study's own runs, given out as kis sweep next would ask for them.

    python -m studies.law.adaptive studies/law/logs.tar.xz/runs studies/law/logs.tar.xz/held_out --target 2038896

It begins with some frequencies of each size, evenly spread, one seed each. Then, wave by wave, each run that the
predictor asks for is answered by the nearest one of its size that was trained and is not taken yet. Cost is 6ND, as a
part of that of all infused runs; uninfused ones, which neither needs for a collapse point, do not count.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from kis_plugin.amounts import parse_amount, short
from kis_plugin.registry import registered
from kis_predict.observed import ObservedRun
from kis_predict.pipeline import predict
from kis_predict.prediction import NextRun, Prediction
from kis_predict.readers.gather import gather
from kis_predict.request import PredictionRequest
from kis_predict.sweep import build_sweep
from kis_sweep.grid import first_runs


def infused(places: Sequence[str]) -> list[ObservedRun]:
    """Return the runs that the predictor would use: infused ones, of sizes with enough frequencies."""
    sweep = build_sweep(gather(places, registered("log_readers")).runs)
    return [run for group in sweep.groups for run in group.runs]


def begun(grid: Sequence[ObservedRun], frequencies: int) -> list[ObservedRun]:
    """Return the runs that the sweep begins with."""
    found = []
    for params in sorted({run.params for run in grid}):
        mine = {run.frequency: run for run in sorted(grid, key=lambda run: -(run.seed or 0)) if run.params == params}
        found += [mine[frequency] for frequency in first_runs(sorted(mine), frequencies)]
    return found


def answered(
    requested: Sequence[NextRun], grid: Sequence[ObservedRun], taken: Sequence[ObservedRun]
) -> list[ObservedRun]:
    """Return what was trained nearest to each run requested; nothing for a size whose runs are all taken."""
    free = [run for run in grid if run not in taken]
    found: list[ObservedRun] = []
    for one in requested:
        near = [run for run in free if run.params == one.params]
        if near:
            best = min(near, key=lambda run: (abs(math.log(run.frequency / one.frequency)), run.seed or 0))
            free.remove(best)
            found.append(best)
    return found


def flops(runs: Sequence[ObservedRun]) -> float:
    """Return what runs cost, 6ND each."""
    return sum(6.0 * run.params * run.tokens for run in runs)


def row(name: str, runs: Sequence[ObservedRun], grid: Sequence[ObservedRun], answer: Prediction) -> tuple[str, ...]:
    """Return a line of the table."""
    predicted, limit = answer.collapse, answer.recommendation
    return (
        name,
        f"{len(runs)}",
        f"{flops(runs) / flops(grid):.0%}",
        f"{sum(size.censored is None for size in answer.sizes)} of {len({run.params for run in grid})}",
        "none"
        if predicted is None
        else f"{short(predicted.frequency)} ({short(predicted.low)} to {short(predicted.high)})",
        "" if predicted is None else f"{predicted.high / predicted.low:.2f}",
        "" if limit is None else short(limit.frequency),
    )


def main() -> None:
    """Replay and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("runs", nargs="+", help="archives or folders of the runs of the grid")
    options.add_argument("--target", type=parse_amount, required=True, help="N of the large model")
    options.add_argument("--tokens", type=parse_amount, help="its D (default: the sweep's rule)")
    options.add_argument("--first", type=int, default=5, help="frequencies of each size to begin with (default: 5)")
    options.add_argument("--wave", type=int, default=6, help="runs requested at a time (default: 6)")
    args = options.parse_args()
    request = PredictionRequest(args.target, args.tokens, next_runs=args.wave, new_sizes=False, per_flop=True)
    grid, laws = infused(args.runs), registered("laws")
    table = Table("sweep", "runs", "cost", "collapse", "F_c (90 %)", "high / low", "recommended")
    table.add_row(*row("full grid", grid, grid, predict(grid, request, laws)), end_section=True)
    runs, wave = begun(grid, args.first), 0
    while True:
        answer = predict(runs, request, laws)
        table.add_row(*row(f"after wave {wave}" if wave else "beginning", runs, grid, answer))
        more = answered(answer.next_runs, grid, runs)
        if not more:
            break
        runs, wave = [*runs, *more], wave + 1
    Console().print(table)


if __name__ == "__main__":
    main()
