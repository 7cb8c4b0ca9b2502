"""What the simplest rule says of each hold-out: the same share of D as the sizes and budgets measured before it.

    python -m studies.law.baseline studies/law/logs.tar.xz

Collapse points are those that kis-predict finds today in all runs together; the rule takes the geometric mean of the
shares at which the earlier ones collapse. Any fitted law has to beat it.
"""

from __future__ import annotations

import argparse
import math
from statistics import fmean

from rich.console import Console
from rich.table import Table

from kis_plugin.amounts import short
from kis_predict import read_runs
from kis_predict.curves.size_estimates import SizeEstimate, estimate_sizes
from kis_predict.sweep import build_sweep

HELD_OUT = ((992208, 2252800), (474320, 4505600), (687120, 3263488), (332352, 1579008), (2038896, 2252800))
"""N and D in the order in which they were trained, after the sizes of ``runs``."""


def share_of_one_exposure(size: SizeEstimate) -> float:
    """Return the share of D that one exposure of every fact takes."""
    return fmean((run.infused_share() or math.nan) / run.frequency for run in size.group.runs)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", nargs="+", help="archives or folders of run logs")
    sweep = build_sweep(read_runs(options.parse_args().logs))
    sizes = {(s.group.params, s.group.tokens): s for s in estimate_sizes(sweep.groups, 1000, 0, 0.9) if not s.censored}
    before = [size for place, size in sizes.items() if place not in HELD_OUT]
    table = Table("N", "D", "sizes before", "their share", "F_c by it", "measured F_c", "ratio")
    for place in HELD_OUT:
        size = sizes[place]
        share = math.exp(fmean(each.log_collapse + math.log(share_of_one_exposure(each)) for each in before))
        found, measured = share / share_of_one_exposure(size), math.exp(size.log_collapse)
        values = (f"{len(before)}", f"{share:.2f}", short(found), short(measured), f"{found / measured:.2f}")
        table.add_row(f"{place[0]:,}", short(place[1]), *values)
        before.append(size)
    Console().print(table)


if __name__ == "__main__":
    main()
