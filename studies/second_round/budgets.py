"""Third seeds on twice the tokens, and the left-out size and budget: before the runs, and with them.

    python -m studies.second_round.budgets studies/law/logs.tar.xz studies/second_round/logs.tar.xz

Estimates of a place are those of ``kis-predict`` from all runs together, and of a rise and a fall of any shape
(``studies.law.model_free``). The prediction and the constant share use the law's study alone.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from kis_plugin.amounts import short
from kis_predict.curves.size_estimates import SizeEstimate, estimate_sizes
from kis_predict.observed import ObservedRun
from kis_predict.sweep import build_sweep
from studies.fictional.left_out import constant_share
from studies.law.model_free import model_free, scatter_of
from studies.law.outcome import measured, prediction_at, read, spread

__all__ = ["DOUBLED", "LEFT_OUT", "estimates"]

DOUBLED, LEFT_OUT = (474_320, 4_505_600), (332_352, 4_505_600)
"""N and D."""


def estimates(runs: Sequence[ObservedRun]) -> list[SizeEstimate]:
    """Return what kis-predict finds at each size and budget."""
    return list(estimate_sizes(build_sweep(runs).groups, 1000, 0, 0.9))


def row(sizes: Sequence[SizeEstimate], place: tuple[int, int]) -> tuple[str, str, str]:
    """Return runs at a place, and its collapse point by kis-predict and without a formula."""
    size = next(size for size in sizes if (size.group.params, size.group.tokens) == place)
    value, low, high, _ = (short(end) if math.isfinite(end) else "none" for end in model_free(size, scatter_of(sizes)))
    found = spread(*measured(size)) if size.censored is None else f"none up to {short(math.exp(size.log_collapse))}"
    return f"{len(size.group.runs)}", found, f"{value} ({low} to {high})"


def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("law", help="archive of the law's study")
    options.add_argument("second", help="archive of this one")
    args = options.parse_args()
    law, third, left_out = read([args.law]), read([f"{args.second}/third"]), read([f"{args.second}/left_out"])
    before, after, out = estimates(law), estimates([*law, *third, *left_out]), Console(width=120)
    table = Table("N", "D", "runs", "F_c by kis-predict (90 %)", "without a formula (90 %)")
    for place, sizes in ((DOUBLED, before), (DOUBLED, after), (LEFT_OUT, after)):
        table.add_row(f"{place[0]:,}", short(place[1]), *row(sizes, place))
    out.print(table)
    answer, share = prediction_at(law, *LEFT_OUT).collapse, constant_share(before, LEFT_OUT[1])
    found = next(size for size in after if (size.group.params, size.group.tokens) == LEFT_OUT)
    value = measured(found)[0]
    table = Table("left out", "predicted F_c", "ratio to kis-predict's estimate")
    if answer:
        text = spread(answer.frequency, answer.low, answer.high)
        table.add_row("kis-predict", text, f"{answer.frequency / value:.2f}")
    if share:
        table.add_row("constant share", short(share[0]), f"{share[0] / value:.2f}")
    out.print(table)


if __name__ == "__main__":
    main()
