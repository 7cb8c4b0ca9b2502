"""What an adaptive sweep costs beside the full grid, and how well each predicts: simulated sweeps of known truth.

    python -m benchmarks adaptive                  # 36 sweeps

Sweeps are those of ``benchmarks/predict.py``: five sizes from 137M to 1.3B, twelve frequencies each, three shapes of
curve, exponents of -0.5 and +0.5, noise of 0.03. The full grid is all 60 runs. The adaptive sweep begins with some
frequencies of each, evenly spread over the same range, and then adds what ``kis-predict --next`` proposes, wave by
wave, as ``kis sweep next`` does. Cost is 6ND.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.predict import CHANCE, LAWS, PROBES, SHAPES, TARGET, Case, rmse, simulate
from kis_predict.observed import ObservedRun
from kis_predict.pipeline import PredictionRequest, predict
from kis_predict.prediction import NextRun, Prediction
from kis_sweep.grid import first_runs


@dataclass(frozen=True)
class Stage:
    """How one sweep stood: after its beginning, after a wave, or with the full grid.

    Attributes:
        wave: 0 for the beginning; -1 for the full grid.
        cost: FLOPs, as a part of the full grid's.
        error: log of predicted over true F_c at the target; None where there was no prediction.
        width: Of the 90 % interval, nats; None likewise.
        inside: Whether the truth is in it.
    """

    wave: int
    cost: float
    error: float | None
    width: float | None
    inside: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks adaptive", description=__doc__.split("\n")[0])
    parser.add_argument("--sweeps", type=int, default=36, help="simulated sweeps (default: 36)")
    parser.add_argument("--first", type=int, default=5, help="frequencies of each size to begin with (default: 5)")
    parser.add_argument("--wave", type=int, default=6, help="runs added at a time (default: 6)")
    parser.add_argument("--waves", type=int, default=6, help="how often (default: 6)")
    parser.add_argument("--bootstraps", type=int, default=200, help="of each prediction (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the truths and of the noise (default: 0)")
    parser.add_argument("--json", type=Path, help="write all stages to this file")
    args = parser.parse_args(argv)
    stages: list[Stage] = []
    for number in range(args.sweeps):
        rng = np.random.default_rng([args.seed, number])
        case = simulate(rng, SHAPES[number % 3], (-0.5, 0.5)[(number // 3) % 2])
        stages += _compared(case, args)
    _print(stages, args)
    if args.json:
        args.json.write_text(json.dumps([vars(stage) for stage in stages], indent=1) + "\n", encoding="utf-8")
    return 0


def _compared(case: Case, args: argparse.Namespace) -> list[Stage]:
    whole = sum(_flops(run) for run in case.runs)
    by_size = {params: [run for run in case.runs if run.params == params] for params in _sizes(case.runs)}
    runs = [
        run
        for mine in by_size.values()
        for run in mine
        if run.frequency in first_runs(sorted(other.frequency for other in mine), args.first)
    ]
    stages = [_stage(-1, case.runs, whole, case, args)[0]]
    for wave in range(args.waves + 1):
        stage, answer = _stage(wave, runs, whole, case, args)
        stages.append(stage)
        runs = [*runs, *_together(case, answer.next_runs, runs)]
    return stages


def _stage(
    wave: int, runs: Sequence[ObservedRun], whole: float, case: Case, args: argparse.Namespace
) -> tuple[Stage, Prediction]:
    question = PredictionRequest(
        params=round(TARGET),
        bootstraps=args.bootstraps,
        next_runs=args.wave,
        new_sizes=False,
        per_flop=True,
        seed=args.seed,
    )
    answer = predict(runs, question, LAWS)
    cost = sum(_flops(run) for run in runs) / whole
    if answer.collapse is None:
        return Stage(wave, cost, None, None, False), answer
    low, middle, high = np.log([answer.collapse.low, answer.collapse.frequency, answer.collapse.high])
    inside = bool(low <= case.log_collapse <= high)
    return Stage(wave, cost, float(middle - case.log_collapse), float(high - low), inside), answer


def _together(case: Case, wanted: Sequence[NextRun], runs: Sequence[ObservedRun]) -> list[ObservedRun]:
    """Return the runs of a wave; where one is requested twice, the second has the next seed."""
    drawn: list[ObservedRun] = []
    for one in wanted:
        drawn.append(_drawn(case, one, [*runs, *drawn]))
    return drawn


def _drawn(case: Case, one: NextRun, runs: Sequence[ObservedRun]) -> ObservedRun:
    """Return a run that was requested, as it would have come out."""
    frequency = float(max(round(one.frequency), 1))
    same = [run.seed or 0 for run in runs if run.params == one.params and run.frequency == frequency]
    return ObservedRun(
        source=f"simulated:{len(runs)}-{frequency:g}-{len(same)}",
        params=one.params,
        tokens=one.tokens,
        frequency=frequency,
        retention=case.draw(one.params, frequency),
        n=PROBES,
        chance=CHANCE,
        seed=max(same, default=-1) + 1,
    )


def _sizes(runs: Sequence[ObservedRun]) -> list[int]:
    return sorted({run.params for run in runs})


def _flops(run: ObservedRun) -> float:
    return 6.0 * run.params * run.tokens


def _print(stages: Sequence[Stage], args: argparse.Namespace) -> None:
    console = Console(width=110, highlight=False, markup=False)
    first = f"the adaptive one begins with {args.first} frequencies a size"
    console.print(f"{args.sweeps} simulated sweeps; {first}, and adds {args.wave} runs a wave.")
    table = Table()
    for column in ("sweep", "cost", "predicted", "error (factor)", "90 % interval (factor)", "covers"):
        table.add_column(column, justify="left" if column == "sweep" else "right")
    for wave in range(-1, args.waves + 1):
        mine = [stage for stage in stages if stage.wave == wave]
        answered = [stage for stage in mine if stage.error is not None]
        table.add_row(
            "full grid" if wave < 0 else "beginning" if wave == 0 else f"after wave {wave}",
            f"{np.mean([stage.cost for stage in mine]):.0%}",
            f"{len(answered)} of {len(mine)}",
            f"{rmse([stage.error for stage in answered if stage.error is not None]):.2f}",
            f"{np.exp(np.median([stage.width or 0 for stage in answered])):.2f}" if answered else "",
            f"{np.mean([stage.inside for stage in answered]):.0%}" if answered else "",
            end_section=wave < 0,
        )
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
