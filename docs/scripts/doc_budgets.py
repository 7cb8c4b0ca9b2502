"""Write the table of the page on large runs: what a week of so many GPUs buys, by ``kis sweep plan --target``.

python docs/scripts/doc_budgets.py            # some minutes: each row simulates sweeps at three budgets
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "adapters"), str(ROOT / "predictor")]
PAGE = ROOT / "docs" / "how-to" / "at-scale.md"
PLACE = re.compile(r"(<!-- generated: budgets -->\n).*?(<!-- /generated -->)", re.S)
GPUS = (8, 64, 512)
HOURS = 7 * 24
HEADS = ("GPUs", "GPU-hours", "FLOPs", "sizes", "runs", "longest run", "F_c at 7B")


def words(count: int) -> list[str]:
    """Return the command that plans for a week of so many GPUs: 1,000 facts of 20 tokens, 140B tokens at the target."""
    return [
        "sweep", "plan", "--target", "7B", "--budget", f"{count * HOURS}h:H100", "--longest", f"{HOURS}h:H100",
        "--exposure-tokens", "20k", "--json",
    ]  # fmt: skip


def rows() -> list[tuple[str, ...]]:
    """Return a row for each number of GPUs."""
    from click.testing import CliRunner

    from kis_plugin.cli.main import main as kis

    found = []
    for count in GPUS:
        done = CliRunner().invoke(kis, words(count))
        if done.exit_code:
            raise SystemExit(done.stderr)
        found.append(_row(count, json.loads(done.stdout)))
    return found


def _row(count: int, answer: dict[str, Any]) -> tuple[str, ...]:
    from kis_plugin.amounts import short
    from kis_sweep.budget.compute import flops_of

    whole = answer["choices"][1]  # of half the budget, the budget, and double
    largest = whole["sizes"][-1]
    longest = 6 * largest**2 * 20.0 / flops_of("1h:H100")
    factor = "refused" if whole["factor"] is None else f"within x{whole['factor']:.2f}"
    sizes = ", ".join(map(short, whole["sizes"]))
    return (
        f"{count}", f"{count * HOURS:,}", f"{whole['budget']:.2g}", sizes, f"{whole['runs']}", f"{longest:,.3g} h",
        factor,
    )  # fmt: skip


def shown() -> list[tuple[str, ...]]:
    """Return the rows that the page has."""
    match = PLACE.search(PAGE.read_text(encoding="utf-8"))
    assert match is not None
    lines = [line.strip("| ").split(" | ") for line in match[0].splitlines() if line.startswith("| ")]
    return [tuple(cells) for cells in lines[2:]]


def main() -> None:
    """Write the table."""
    lines = [HEADS, ("---",) * len(HEADS), *rows()]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PLACE.sub(lambda match: f"{match[1]}\n{table}\n{match[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
