"""Write a study's results as one table, a row a run, from its collected logs.

python -m studies.results studies/law/logs.tar.xz > studies/law/results.csv
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator

from kis_plugin.run.log import RunLog
from studies.logs import logs_by_place

__all__ = ["COLUMNS", "rows"]

COLUMNS = (
    "part", "run", "params", "tokens", "frequency", "facts", "tokens_per_fact", "share", "seed", "options", "status",
    "retention", "n", "questions", "seen", "control", "loss", "fewest", "most",
)  # fmt: skip
"""``retention`` is held-out accuracy at the end over ``questions``, worth ``n`` independent ones; ``seen`` and
``control`` are accuracies likewise, ``loss`` is that on general text, in nats per token; ``fewest`` and ``most`` are
exposures per fact as counted. ``kis-predict --logs`` reads the table too."""


def rows(place: str) -> Iterator[dict[str, object]]:
    """Yield a row for each run log, by path."""
    for folder, log in logs_by_place(place):
        yield {"part": folder.rpartition("/N")[0] or folder.partition("/")[0], **row(log)}


def row(log: RunLog) -> dict[str, object]:
    """Return a run's row; what its log does not say is empty."""
    run, end = log.run, log.end
    last = {record.probe: record for record in log.retention}
    held_out = last.get("held_out")
    achieved = (end.achieved_frequency if end else None) or {}
    return {
        "run": run.run_id,
        "params": run.params,
        "tokens": run.tokens,
        "frequency": f"{run.frequency:g}",
        "facts": run.facts,
        "tokens_per_fact": run.tokens_per_fact,
        "share": run.share,
        "seed": run.seed,
        "options": run.options,
        "status": end.status if end else "unfinished",
        "retention": held_out.accuracy if held_out else None,
        "n": held_out.worth if held_out else None,
        "questions": held_out.n if held_out else None,
        **{series: last[series].accuracy if series in last else None for series in ("seen", "control")},
        "loss": log.loss[-1].loss if log.loss else None,
        "fewest": achieved.get("min"),
        "most": achieved.get("max"),
    }


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", help="archive or folder of run logs")
    table = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows(options.parse_args().logs))


if __name__ == "__main__":
    main()
