"""Write the table of the page on large runs: what a week of so many GPUs buys, by ``kis sweep plan --target``.

python docs/scripts/doc_budgets.py            # some minutes: each row simulates sweeps three times
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters"), str(ROOT / "predictor")]
PAGE = ROOT / "docs" / "how-to" / "at-scale.md"
PLACE = re.compile(r"(<!-- generated: budgets -->\n).*?(<!-- /generated -->)", re.S)
GPUS = (8, 64, 512)
HOURS = 7 * 24
TARGET, TARGET_TOKENS, EXPOSURE = 7e9, 140e9, 20_000.0
SWEEPS = 5
HEADS = ("GPUs", "GPU-hours", "FLOPs", "sizes", "runs", "longest run", "F_c at 7B")


def rows() -> list[tuple[str, ...]]:
    """Return a row for each number of GPUs: the design that the command chooses, and what its simulation says."""
    from kis_plugin.amounts import short
    from kis_plugin.registry import registered
    from kis_sweep.budget.compute import GPUS as PEAKS
    from kis_sweep.budget.compute import USED, flops_of
    from kis_sweep.budget.design import Situation, best_design
    from kis_sweep.budget.simulation import simulate

    situation = Situation(TARGET, TARGET_TOKENS, 20.0, EXPOSURE, flops_of(f"{HOURS}h:H100"))
    found = []
    for count in GPUS:
        flops = flops_of(f"{count * HOURS}h:H100")
        design = best_design(situation, flops)
        assert design is not None
        outcome = simulate(design, situation, registered("laws"), SWEEPS, 0, lambda: None)
        factor = "refused" if outcome.factor is None else f"within x{outcome.factor:.2f}"
        longest = 6 * design.sizes[-1] ** 2 * 20.0 / (PEAKS["H100"] * USED * 3600)
        sizes = ", ".join(map(short, design.sizes))
        runs = len(design.sizes) * design.runs_per_size
        found.append((f"{count}", f"{count * HOURS:,}", f"{flops:.2g}", sizes, f"{runs}", f"{longest:,.3g} h", factor))
        print(found[-1], outcome.answered, outcome.held, flush=True)
    return found


def main() -> None:
    """Write the table."""
    lines = [HEADS, ("---",) * len(HEADS), *rows()]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PLACE.sub(lambda match: f"{match[1]}\n{table}\n{match[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
