"""How retention changes after the collapse: in runs whose guard acts, and in continuations of trained models.

    python -m studies.collapse.outcome studies/collapse/logs.tar.xz

A row a run, the end with the 95 % interval of its log, from the facts that are probed; then how much continuations
change from start to end: means over the models that they continue, with a 95 % interval by Student's t, the standard
deviation of models being pooled over the arms. Where a model is continued in several orders of rows, their mean counts
once.
"""

from __future__ import annotations

import argparse
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from kis_plugin.retention.intervals import wilson
from kis_plugin.run.log import RunLog
from studies.collapse.plan import ACTIONS
from studies.logs import logs_by_place
from studies.seeds import half_width

__all__ = ["Course", "course", "courses", "spread"]

Cell = tuple[str, float]
"""Arm and F."""
ARM = re.compile(r"(?:after/f(\d+)-(\d)|long/(\w+))/N")


class Course(NamedTuple):
    """What became of a run."""

    arm: str
    """``warn``, ``throttle`` or ``stop_infusing``; of a continuation the F of the run that it continues."""
    frequency: float
    model: int
    """Seed of the run from scratch."""
    order: int
    """Seed of the order of rows."""
    held_out: tuple[float, ...]
    end: str
    """Held-out retention at the end, with its interval."""
    seen: tuple[float, ...]
    loss: float
    """General loss at the end, nats."""
    reported: str
    """The part of the run at which the guard first reported a collapse; empty where it did not."""
    shown: float
    """Exposures per fact as counted, mean."""


def course(path: str, log: RunLog) -> Course:
    """Return that of a finished run at a path below the archive."""
    found = ARM.search(path)
    assert found is not None
    assert log.end is not None
    first = next((record.tokens for record in log.guard if record.verdict == "collapse"), None)
    values = {
        series: tuple(record.accuracy for record in log.retention if record.probe == series)
        for series in ("held_out", "seen")
    }
    last = [record for record in log.retention if record.probe == "held_out"][-1]
    low, high = wilson(last.accuracy, last.worth)
    return Course(
        found[3] or f"after {found[1]}", log.run.frequency, int(found[2] or log.run.seed or 0), log.run.seed or 0,
        values["held_out"], f"{last.accuracy:.3f} ({low:.3f} to {high:.3f})", values["seen"], log.loss[-1].loss,
        "" if first is None else f"{first / log.run.tokens:.1f}", (log.end.achieved_frequency or {}).get("mean", 0.0),
    )  # fmt: skip


def courses(place: str) -> list[Course]:
    """Return those of all finished runs at a place, by arm, frequency and seed."""
    return sorted(course(path, log) for path, log in logs_by_place(place) if log.end)


def spread(cells: Mapping[Cell, Sequence[float]], cell: Cell) -> str:
    """Return the mean of a cell with its 95 % interval, from the variance pooled over all cells."""
    values, half = cells[cell], half_width(cells.values(), len(cells[cell]))
    middle = fmean(values)
    if math.isnan(half):
        return f"{middle:+.3f}"
    return f"{middle:+.3f} ({middle - half:+.3f} to {middle + half:+.3f})"


def by_cell(found: Sequence[Course], value: Callable[[Course], float]) -> dict[Cell, list[float]]:
    """Return a value of each model by cell, the mean over its orders of rows."""
    by_model: dict[Cell, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in found:
        by_model[each.arm, each.frequency][each.model].append(value(each))
    return {cell: [fmean(values) for values in models.values()] for cell, models in by_model.items()}


def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("logs", help="archive or folder of run logs")
    found, out = courses(options.parse_args().logs), Console(width=180)
    table = Table(
        "arm",
        "F",
        "shown",
        "model",
        "order",
        "held-out at each evaluation",
        "best",
        "end (95 %)",
        "seen",
        "loss",
        "reported",
    )
    for each in found:
        table.add_row(
            each.arm, f"{each.frequency:g}", f"{each.shown:.0f}", f"{each.model}", f"{each.order}",
            " ".join(f"{value:.2f}" for value in each.held_out), f"{max(each.held_out):.3f}",
            each.end, f"{each.seen[-1]:.3f}", f"{each.loss:.2f}", each.reported,
        )  # fmt: skip
    out.print(table)
    ends = {(each.arm, each.model): each.held_out[-1] for each in found if not each.arm.startswith("after")}
    for (arm, model), end in ends.items():
        if arm in ACTIONS:
            print(f"{arm}, model {model}: {end - ends['warn', model]:+.3f} from the end of the run that only warns")
    continued = [each for each in found if each.arm.startswith("after")]
    changes = by_cell(continued, lambda each: each.held_out[-1] - each.held_out[0])
    highest = by_cell(continued, lambda each: max(each.held_out[1:]) - each.held_out[0])
    seen = by_cell(continued, lambda each: each.seen[-1] - each.seen[0])
    table = Table(
        "continued", "F", "models", "held-out, change at the end", "highest on the way", "seen, change at the end"
    )
    for cell in changes:
        arm, frequency = cell
        table.add_row(
            arm, f"{frequency:g}", f"{len(changes[cell])}", *(spread(each, cell) for each in (changes, highest, seen))
        )
    out.print(table)


if __name__ == "__main__":
    main()
