"""Run logs of the studies, from the archives that ship: ``studies/law/logs.tar.xz/held_out``, or any folder of logs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from kis_plugin.run.log import LOG_NAME, RunLog, read_run_log
from kis_predict.readers.places import resolve

__all__ = ["logs_by_place", "read_logs"]


def read_logs(places: Sequence[str | Path]) -> list[RunLog]:
    """Return the run logs at some places, in the order of the places and then of paths."""
    return [log for place in places for _, log in logs_by_place(place)]


def logs_by_place(place: str | Path) -> list[tuple[str, RunLog]]:
    """Return the run logs at one place, each with the path of its folder below it."""
    with ExitStack() as stack:
        root = resolve(place, [LOG_NAME], lambda line: None, stack).root
        paths = sorted(root.rglob(LOG_NAME))
        return [(path.parent.relative_to(root).as_posix(), read_run_log(path)) for path in paths]
