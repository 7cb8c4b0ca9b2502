"""In which runs did the guard report a collapse, and where do these lie beside their size's peak and collapse point?

    python -m studies.law.guard studies/law/logs.tar.xz

Peak and collapse point are those that kis-predict finds in the same runs; sizes without a collapse count as not
settled. One study at a time: its facts are the same in all runs. ``one fall`` is one at a single evaluation, which is
no collapse until the next one confirms it.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from kis_plugin.amounts import short
from kis_plugin.registry import registered
from kis_plugin.run.log import RunLog
from kis_predict.curves.size_estimates import SizeEstimate
from kis_predict.pipeline import predict
from kis_predict.readers.gather import gather
from kis_predict.request import PredictionRequest
from studies.logs import read_logs

PLACES = ("before the peak", "from the peak to the collapse point", "beyond the collapse point", "not settled")
VERDICTS = ("collapse", "falling", "neither")


def place(log: RunLog, sizes: dict[tuple[int, int], SizeEstimate]) -> str:
    """Return where a run lies."""
    size = sizes.get((log.run.params, log.run.tokens))
    if size is None or size.censored is not None:
        return PLACES[3]
    at = math.log(log.run.frequency)
    return PLACES[(at >= size.log_peak) + (at > size.log_collapse)]


def reported(log: RunLog) -> str:
    """Return the worst verdict of a run's guard."""
    verdicts = {record.verdict for record in log.guard}
    return next((verdict for verdict in VERDICTS if verdict in verdicts), VERDICTS[-1])


def finished(places: Sequence[str]) -> list[RunLog]:
    """Return the infused runs at some places that ended and were watched."""
    return [log for log in read_logs(places) if log.end and log.run.frequency and log.guard]


def main() -> None:
    """Print the counts, then each run with a reported collapse."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", nargs="+", help="archives or folders of run logs")
    args = options.parse_args()
    # Any target will do: what is wanted are the sizes.
    answer = predict(
        gather(args.logs, registered("log_readers")).runs, PredictionRequest(10**7, 10**7), registered("laws")
    )
    sizes = {(size.group.params, size.group.tokens): size for size in answer.sizes}
    logs = finished(args.logs)
    counts = Counter((place(log, sizes), reported(log)) for log in logs)
    table = Table("runs", "collapse reported", "one fall", "neither")
    for where in PLACES:
        table.add_row(where, *(str(counts[where, verdict]) for verdict in VERDICTS))
    console = Console()
    console.print(table)
    for log in logs:
        if reported(log) == "collapse":
            last = next(record for record in log.guard if record.verdict == "collapse")
            console.print(
                f"N={log.run.params:,} D={short(log.run.tokens)} F={log.run.frequency:g} seed {log.run.seed}: "
                f"{place(log, sizes)}, {last.extra['before']:.3f} to {last.extra['after']:.3f}",
                highlight=False,
            )


if __name__ == "__main__":
    main()
