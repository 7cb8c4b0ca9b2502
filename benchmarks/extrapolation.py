"""How far the answers of `kis-predict` can be trusted: sweeps of other families than the ones it fits, by scenario.

    python -m benchmarks extrapolation             # 144 sweeps, ten minutes and more
    python -m benchmarks extrapolation --quick     # 12 sweeps
    python -m benchmarks extrapolation --part 0/2  # one half, for two processes; --save and --load join them

Six curve families times eleven laws (``benchmarks/known_truth.py``), 4 to 8 sizes, 8 to 12 frequencies a size, noise of
0.016 to 0.03, and sweeps whose smallest sizes never learn or whose largest end before their collapse. Each is predicted
at 5 and at 25 times its largest size. First table: what is answered there; second: the sizes' own intervals.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.known_truth import (
    BENT,
    CHANCE,
    CURVES,
    FACTS,
    LAWS,
    STRAIGHT,
    TIMES,
    TOKENS_PER_FACT,
    Sweep,
    make_sweep,
)
from kis_predict.curves.size_estimates import estimate_sizes
from kis_predict.laws.built_in import built_in_laws
from kis_predict.observed import ObservedRun
from kis_predict.pipeline import answer
from kis_predict.request import PredictionRequest
from kis_predict.sweep import build_sweep

__all__ = ["main", "measure"]

Case = tuple[str, str, str, int, Mapping[str, int]]
"""Scenario, curve, law, seed, and what ``make_sweep`` is given besides."""


@dataclass(frozen=True)
class Answered:
    """What was answered at one target: log F of the truth, and of the answer; None where it was refused."""

    truth: float
    middle: float | None = None
    low: float = 0.0
    high: float = 0.0
    recommended: float = 0.0
    kept: float = 0.0
    """Height above chance at the recommended amount by the true curve, as a part of the peak's."""


@dataclass(frozen=True)
class Measured:
    """One sweep: its answers by target; of each observed size the error of log F_c and whether its interval holds."""

    scenario: str
    curve: str
    law: str
    answers: Mapping[int, Answered]
    sizes: Sequence[tuple[float, bool]]


def cases(seed: int = 0) -> Iterator[Case]:
    """Yield all sweeps."""
    for curve in CURVES:
        for law in LAWS:
            scenario = "straight" if law in STRAIGHT else "bent" if law in BENT else law
            for repeat in range(3 if law in STRAIGHT else 2 if law in BENT else 1):
                yield scenario, curve, law, seed + repeat, {}
        yield "never learnt", curve, "power up", seed + 100, {"never_learnt": 1, "sizes": 6}
        yield "never learnt", curve, "power up", seed + 101, {"never_learnt": 2, "sizes": 6}
        yield "ends early", curve, "power up", seed + 102, {"ends_early": 1, "sizes": 5}
        yield "ends early", curve, "power down", seed + 103, {"ends_early": 2, "sizes": 6}


def observed_runs(sweep: Sweep) -> list[ObservedRun]:
    """Return the sweep's runs as a log reader would."""
    return [
        ObservedRun(
            source=f"simulated:{at}", params=run.params, tokens=run.tokens, frequency=run.frequency,
            retention=run.retention, n=run.n, chance=CHANCE, facts=FACTS, tokens_per_fact=TOKENS_PER_FACT / 20,
            seed=run.seed,
        )
        for at, run in enumerate(sweep.runs)
    ]  # fmt: skip


def measure(case: Case, bootstraps: int) -> Measured:
    """Simulate one sweep and predict its targets."""
    scenario, curve, law, seed, more = case
    truth = make_sweep(curve, law, seed, **more)  # type: ignore[arg-type]
    sweep = build_sweep(observed_runs(truth))
    sizes = tuple(estimate_sizes(sweep.groups, bootstraps, seed=0, confidence=0.9))
    laws = {each.name: each for each in built_in_laws()}
    answers = {}
    for times, (params, tokens) in truth.targets.items():
        request = PredictionRequest(params=params, tokens=tokens, bootstraps=bootstraps)
        found = answer(sweep, sizes, request, laws)
        there = truth.log_at_target[times]
        if found.collapse is None or found.recommendation is None:
            answers[times] = Answered(there)
            continue
        recommended = float(np.log(found.recommendation.frequency))
        kept = float(truth.height(np.array(recommended - there)))
        log = np.log([found.collapse.frequency, found.collapse.low, found.collapse.high])
        answers[times] = Answered(there, *(float(each) for each in log), recommended, kept)
    errors = []
    for size in sizes:
        if size.censored is None:
            there = truth.log_collapse[size.group.params, size.group.tokens]
            low, high = size.log_collapse_interval
            errors.append((float(size.log_collapse - there), bool(low <= there <= high)))
    return Measured(scenario, curve, law, answers, errors)


def print_tables(rows: Sequence[Measured]) -> None:
    """Print what is answered by scenario and by law, and how well the intervals of sizes hold by curve family."""
    print(
        f"{'':14s} {'sweeps':>6s}",
        *(f"| {f'{times}x:':>4s} refused   RMSE  holds above  width  kept" for times in TIMES),
    )
    scenarios = list(dict.fromkeys(row.scenario for row in rows))
    for name in scenarios:
        print(_line(name, [row for row in rows if row.scenario == name]))
    for name in dict.fromkeys(row.law for row in rows if row.scenario == "bent"):
        print(_line(f"  {name}", [row for row in rows if row.law == name and row.scenario == "bent"]))
    print("RMSE: multiplicative, of F_c. holds: 90 % intervals with F_c inside. above: recommendations above F_c.")
    print("width: high / low, median. kept: of the peak's height at the recommended amount by the true curve, median.")
    print(f"\n{'':14s} {'sizes':>6s} {'RMSE':>6s} {'bias':>7s} {'holds':>6s}")
    by_curve: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for row in rows:
        by_curve[row.curve] += row.sizes
    for name, sizes in by_curve.items():
        if sizes:
            errors, holds = np.array([error for error, _ in sizes]), np.mean([held for _, held in sizes])
            print(f"{name:14s} {len(sizes):6d} {_rmse(errors):6.2f} {np.expm1(np.median(errors)):7.1%} {holds:6.0%}")


def _line(name: str, rows: Sequence[Measured]) -> str:
    cells = [f"{name:14s} {len(rows):6d}"]
    for times in TIMES:
        every = [row.answers[times] for row in rows]
        some = [each for each in every if each.middle is not None]
        if not some:
            cells.append(f"| {'':4s} {len(every):7d}")
            continue
        errors = np.array([(each.middle or 0.0) - each.truth for each in some])
        holds = np.mean([each.low <= each.truth <= each.high for each in some])
        above = np.mean([each.recommended > each.truth for each in some])
        width = np.exp(np.median([each.high - each.low for each in some]))
        kept = np.median([each.kept for each in some])
        refused = len(every) - len(some)
        cells.append(f"| {'':4s} {refused:7d} {_rmse(errors):6.2f} {holds:6.0%} {above:5.0%} {width:6.2f} {kept:5.2f}")
    return " ".join(cells)


def _from_json(row: dict[str, Any]) -> Measured:
    answers = {int(times): Answered(**each) for times, each in row["answers"].items()}
    return Measured(row["scenario"], row["curve"], row["law"], answers, [tuple(size) for size in row["sizes"]])


def _rmse(errors: np.ndarray) -> float:
    return float(np.exp(np.sqrt(np.mean(np.square(errors)))))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sweeps and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks extrapolation", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bootstraps", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="every thirteenth sweep")
    parser.add_argument("--part", default="0/1", help="K/N: every Nth sweep from the Kth on")
    parser.add_argument("--save", type=Path, help="keep what was measured, for --load")
    parser.add_argument("--load", type=Path, nargs="*", default=[], help="join what was kept, and measure nothing")
    args = parser.parse_args(argv)
    rows = [_from_json(row) for path in args.load for row in json.loads(path.read_text(encoding="utf-8"))]
    began = time.perf_counter()
    if not args.load:
        part, parts = map(int, args.part.split("/"))
        chosen: Iterable[Case] = list(cases(args.seed))[part :: 13 * parts if args.quick else parts]
        rows = [measure(case, args.bootstraps) for case in chosen]
    if args.save:
        args.save.write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")
    print_tables(rows)
    if not args.load:
        print(f"\n{(time.perf_counter() - began) / max(len(rows), 1):.1f} s a sweep")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
