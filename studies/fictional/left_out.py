"""What kis-predict and the constant share say of the left-out size and budget, and what was measured there.

    python -m studies.fictional.left_out studies/fictional/logs.tar.xz/budgets

Predictions use the other sizes and budgets alone. The constant share is the geometric mean of the shares at which those
collapse. Measured is what kis-predict finds with the left-out runs added, where there are any. All by method 3, which
the study froze before these runs.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

from rich.console import Console
from rich.table import Table

from kis_plugin.amounts import short
from kis_plugin.registry import registered
from kis_predict.curves.size_estimates import SizeEstimate, estimate_sizes
from kis_predict.observed import ObservedRun
from kis_predict.pipeline import predict
from kis_predict.request import PredictionRequest
from kis_predict.sweep import build_sweep
from studies.frozen import method_3
from studies.law.baseline import share_of_one_exposure
from studies.law.outcome import measured, read, spread

__all__ = ["LEFT_OUT", "constant_share", "predictions"]

LEFT_OUT = (392_400, 1_200_128)
"""N and D."""
AXES: tuple[Literal["auto", "frequency", "share"], ...] = ("auto", "frequency", "share")

Answer = tuple[float, float, float] | None
"""F_c with its interval; None where none is given."""


def constant_share(sizes: Sequence[SizeEstimate], tokens: int) -> Answer:
    """Return F_c at the share at which the sizes collapse, on so many tokens; without an interval."""
    collapsed = [size for size in sizes if size.censored is None and size.learnt]
    if not collapsed:
        return None
    share = math.exp(fmean(size.log_collapse + math.log(share_of_one_exposure(size)) for size in collapsed))
    one = fmean(share_of_one_exposure(size) * size.group.tokens for size in collapsed) / tokens
    return share / one, math.nan, math.nan


@method_3()
def predictions(known: Sequence[ObservedRun]) -> Mapping[str, Answer]:
    """Return F_c at the left-out place by kis-predict, on each axis, and by the constant share."""
    params, tokens = LEFT_OUT
    found: dict[str, Answer] = {}
    for axis in AXES:
        request = PredictionRequest(params=params, tokens=tokens, axis=axis)
        collapse = predict(known, request, registered("laws")).collapse
        answer = None if collapse is None else (collapse.frequency, collapse.low, collapse.high)
        found[f"kis-predict --axis {axis}"] = answer
    sizes = estimate_sizes(build_sweep(known).groups, 1000, 0, 0.9)
    return {**found, "the same share": constant_share(sizes, tokens)}


@method_3()
def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", nargs="+", help="archives or folders of run logs")
    runs = read(options.parse_args().logs)
    known = [run for run in runs if (run.params, run.tokens) != LEFT_OUT]
    value = None
    if len(known) < len(runs):
        sizes = estimate_sizes(build_sweep(runs).groups, 1000, 0, 0.9)
        there = next(size for size in sizes if (size.group.params, size.group.tokens) == LEFT_OUT)
        value = measured(there)
        print(f"Measured at {LEFT_OUT[0]:,} parameters, D = {short(LEFT_OUT[1])}: "
              f"{spread(*value) if there.censored is None else f'none up to {short(value[0])}'}")  # fmt: skip
    table = Table("by", "predicted F_c (90 %)", "ratio to what was measured")
    for name, answer in predictions(known).items():
        shown = "none" if answer is None else short(answer[0]) if math.isnan(answer[1]) else spread(*answer)
        table.add_row(name, shown, "" if answer is None or value is None else f"{answer[0] / value[0]:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
