"""Compare what was measured at held-out sizes with what kis-predict says of them from the other sizes.

    python -m studies.law.outcome studies/law/logs.tar.xz/runs --held-out studies/law/logs.tar.xz/held_out

The prediction uses the first places alone. Measured is the collapse point of each held-out size as kis-predict finds it
in all runs together.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from kis_plugin.amounts import short
from kis_plugin.registry import registered
from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.observed import ObservedRun
from kis_predict.pipeline import predict
from kis_predict.prediction import Prediction
from kis_predict.readers.gather import gather
from kis_predict.report.plot import law_figure, render
from kis_predict.request import PredictionRequest

MEASURED = "#1a7f37"


def read(places: Sequence[str]) -> tuple[ObservedRun, ...]:
    """Return the runs at some places."""
    return gather(places, registered("log_readers")).runs


def prediction_at(runs: Sequence[ObservedRun], params: int, tokens: int) -> Prediction:
    """Return what kis-predict says of a size on a budget."""
    return predict(runs, PredictionRequest(params=params, tokens=tokens), registered("laws"))


def measured(size: SizeEstimate) -> tuple[float, float, float]:
    """Return the collapse point of a size and its interval; the upper end is infinite where it is only a bound."""
    low, high = (math.exp(end) for end in size.log_collapse_interval)
    return math.exp(size.log_collapse), low, high


def spread(value: float, low: float, high: float) -> str:
    """Return a number with its interval."""
    return f"{short(value)} ({short(low)} to {short(high)})"


def drawn(answer: Prediction, found: SizeEstimate) -> Figure:
    """Return the law with its prediction, and beside it what was measured."""
    figure = law_figure(answer)
    axes = figure.axes[0]
    value, low, high = measured(found)
    error = [[value - low], [0.0 if math.isinf(high) else high - value]]
    axes.errorbar(
        [found.group.params * 1.06], [value], error, fmt="D" if found.censored is None else "^", ms=6, color=MEASURED,
        elinewidth=1.2, capsize=3, label="measured there afterwards", zorder=7,
    )  # fmt: skip
    axes.set_ylim(axes.get_ylim()[0] / 5, None)  # room for the legend
    axes.legend(loc="lower left", borderaxespad=0.2, frameon=False)
    return figure


def main() -> None:
    """Print the table; draw the picture of the largest left-out size."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("runs", nargs="+", help="archives or folders of the runs to predict from")
    options.add_argument("--held-out", required=True, help="archive or folder of the left-out runs")
    options.add_argument("--picture", type=Path, help="file to write: .svg, .png or .pdf")
    args = options.parse_args()
    fitted, left_out = read(args.runs), read([args.held_out])
    table = Table("N", "D", "predicted F_c (90 %)", "measured F_c (90 %)", "ratio")
    for params, tokens in sorted({(run.params, run.tokens) for run in left_out}):
        answer = prediction_at(fitted, params, tokens)
        those = [run for run in left_out if (run.params, run.tokens) == (params, tokens)]
        sizes = prediction_at([*fitted, *those], params, tokens).sizes
        found = next(size for size in sizes if (size.group.params, size.group.tokens) == (params, tokens))
        value, predicted = measured(found), answer.collapse
        table.add_row(
            f"{params:,}",
            short(tokens),
            "none" if predicted is None else spread(predicted.frequency, predicted.low, predicted.high),
            f"> {short(value[0])}" if found.censored else spread(*value),
            "" if predicted is None or found.censored else f"{predicted.frequency / value[0]:.2f}",
        )
    if args.picture:
        args.picture.write_bytes(render(drawn(answer, found), args.picture.suffix.removeprefix(".")))
    Console().print(table)


if __name__ == "__main__":
    main()
