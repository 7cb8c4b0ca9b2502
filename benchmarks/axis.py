"""Does `kis-predict --axis auto` find what decides, exposures or the share of D? Simulated sizes whose truth is known.

    python -m benchmarks axis

Five sizes over a factor 16 whose collapse points follow a power law of N in exposures per fact, or in the share of D,
each 10 % off it and known to 8 %. What separates the two is a second budget at one size, or facts that differ in
number between sizes. Beside it: how often the answer is wrong and sure, at odds of 10 to 1 or more.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.predict import LAWS
from kis_predict.laws.axis import axis_report
from kis_predict.laws.points import Points
from kis_predict.laws.selection import Axis, Sizes, Unit, fit_laws
from kis_predict.prediction import AxisReport
from kis_predict.request import PredictionRequest

Array = npt.NDArray[np.float64]

SIZES = np.geomspace(1e7, 1.6e8, 5)
TARGET = (7e8, 1.4e10)
EXPONENT, SCATTER, ERROR = -0.6, 0.1, 0.08
KINDS = ("second budget, middle size", "second budget, largest size", "numbers of facts differ")


@dataclass(frozen=True)
class Case:
    """Sizes, their collapse points and the share of D that one exposure takes at each, (groups,)."""

    sizes: Sizes
    points: Points
    per_exposure: Array


def simulate(kind: str, truth: str, rng: np.random.Generator) -> Case:
    """Return one sweep whose collapse points are a power law in ``truth``."""
    if kind == "numbers of facts differ":
        params, tokens, facts = SIZES, 20 * SIZES, np.exp(rng.normal(0, 0.5, len(SIZES)))
    else:
        params = np.append(SIZES, SIZES[2 if "middle" in kind else 4])
        tokens, facts = np.append(np.full(len(SIZES), 2e8), 4e8), np.ones(len(SIZES) + 1)
    per_exposure = 2e4 * facts / tokens
    y = np.log(200) + EXPONENT * np.log(params / 1e7) + SCATTER * rng.standard_normal(len(params))
    if truth == "share":
        y -= np.log(per_exposure / per_exposure[0])
    points = Points(y, np.full(len(y), ERROR), np.zeros(len(y), dtype=np.int64))
    return Case(Sizes(params, tokens, TARGET), points, per_exposure)


def decide(case: Case, seed: int) -> AxisReport:
    """Return what the prefixes of sizes say of the axis."""
    there = float(np.log(2e4 / case.sizes.target[1]))
    units: dict[Axis, Unit] = {
        "frequency": Unit(np.zeros(len(case.points.y)), 0.0), "share": Unit(np.log(case.per_exposure), there),
    }  # fmt: skip
    candidates = fit_laws(LAWS, case.sizes, case.points, seed, units)
    return axis_report(PredictionRequest(params=int(case.sizes.target[0])), candidates, case.sizes, units, "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks axis", description=__doc__.split("\n")[0])
    parser.add_argument("--sweeps", type=int, default=20, help="of each kind and truth")
    args = parser.parse_args(argv)
    print(f"{'':28s} {'decides':>10s} {'right':>8s} {'wrong at 10 to 1':>17s} {'median odds':>12s}")
    for kind in KINDS:
        for truth in ("frequency", "share"):
            reports = [
                decide(simulate(kind, truth, np.random.default_rng([seed, KINDS.index(kind)])), seed)
                for seed in range(args.sweeps)
            ]
            right = sum(report.name == truth for report in reports)
            wrong = sum(report.name != truth and (report.odds or 1.0) >= 10 for report in reports)
            odds = np.median([report.odds or 1.0 for report in reports])
            print(
                f"{kind:28s} {truth:>10s} {f'{right}/{args.sweeps}':>8s} {wrong:>17d} {odds:>12.3g}", flush=True
            )  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
