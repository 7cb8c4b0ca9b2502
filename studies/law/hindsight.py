"""What kis-predict as it is today says of each hold-out from what had been measured before it.

    python -m studies.law.hindsight studies/law/logs.tar.xz

These are no predictions: the method was changed after the runs, and on their account too. Each hold-out is answered
from the sizes and budgets that were trained before it, in full; measured is its collapse point with all runs together.
"""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from kis_plugin.amounts import short
from kis_predict.curves.size_estimates import estimate_sizes
from kis_predict.sweep import build_sweep
from studies.law.baseline import HELD_OUT
from studies.law.outcome import measured, prediction_at, read, spread


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", nargs="+", help="archives or folders of run logs")
    runs = read(options.parse_args().logs)
    sizes = {(s.group.params, s.group.tokens): s for s in estimate_sizes(build_sweep(runs).groups, 1000, 0, 0.9)}
    left_out = {*HELD_OUT, (992208, 4713472)}  # the fourth size of D in proportion to N was not trained in full
    known = [run for run in runs if (run.params, run.tokens) not in left_out]
    table = Table("N", "D", "answered today (90 %)", "measured today (90 %)", "ratio")
    for params, tokens in HELD_OUT:
        found, value = prediction_at(known, params, tokens).collapse, measured(sizes[params, tokens])
        table.add_row(
            f"{params:,}", short(tokens),
            "none" if found is None else spread(found.frequency, found.low, found.high), spread(*value),
            "" if found is None else f"{found.frequency / value[0]:.2f}",
        )  # fmt: skip
        known += [run for run in runs if (run.params, run.tokens) == (params, tokens)]
    Console().print(table)


if __name__ == "__main__":
    main()
