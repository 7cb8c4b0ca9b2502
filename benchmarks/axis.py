"""Does `kis-predict --axis auto` find what decides, exposures or the share of D? Simulated sizes whose truth is known.

    python -m benchmarks axis

Five sizes over a factor 16 whose collapse points follow a power law of N in exposures per fact, or in the share of D,
each 10 % off it and known to 8 %. What tells the two apart is a second budget at one size, or facts that differ in
number between sizes. Beside it: the smaller error at the largest size, left out, which is what decided before.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.predict import LAWS
from kis_predict.laws.axis import choose_axis
from kis_predict.laws.points import Points
from kis_predict.laws.selection import Sizes

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks axis", description=__doc__.split("\n")[0])
    parser.add_argument("--sweeps", type=int, default=20, help="of each kind and truth")
    args = parser.parse_args(argv)
    print(f"{'':28s} {'decides':>10s} {'right':>8s} {'right before':>13s} {'median odds':>12s}")
    for kind in KINDS:
        for truth in ("frequency", "share"):
            now = before = 0
            odds = []
            for seed in range(args.sweeps):
                case = simulate(kind, truth, np.random.default_rng([seed, KINDS.index(kind)]))
                told = choose_axis("auto", LAWS, case.sizes, case.points, case.per_exposure, True, seed)
                errors = {name: error for name, error in told.holdout_errors.items() if error is not None}
                now += told.name == truth
                before += min(errors, key=lambda name: errors[name]) == truth
                odds.append(told.odds or 1.0)
            right = f"{now}/{args.sweeps}", f"{before}/{args.sweeps}"
            print(f"{kind:28s} {truth:>10s} {right[0]:>8s} {right[1]:>13s} {np.median(odds):>12.3g}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
