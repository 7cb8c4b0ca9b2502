"""The table of a sweep's runs, once or live, within 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table

from kis_plugin.escapes import escaped
from kis_plugin.retention.series import HELD_OUT, SEEN
from kis_plugin.storage.terminal import safe_console, table
from kis_sweep.folder import State, states_of
from kis_sweep.progress.course import Course, courses_of, seconds_left
from kis_sweep.run_spec import SweepRun

__all__ = [
    "clock_text",
    "course_object",
    "courses_table",
    "live",
    "live_table",
    "summary_of",
    "time_text",
    "unreadable_names",
]

_REFRESH = 0.5  # per second; logs are read again each time
_ROWS = 20  # maximum number of runs in the live table
_ORDER = ("running", "interrupted", "failed", "finished", "waiting")


def courses_table(courses: Sequence[Course], unreadable: Sequence[str] = ()) -> Table:
    """Return a table of runs; those whose files cannot be read have a row too.

    Args:
        courses: How far each readable run is.
        unreadable: Names of the others.
    """
    shown = table("run", "state", "step", "held-out", "time", numbers=(2, 3, 4))
    shown.columns[1].no_wrap = True
    for course in courses:
        accuracy = _last(course.state, HELD_OUT)
        shown.add_row(
            escaped(course.state.run.name), course.state.state, f"{course.step}/{course.state.run.recipe.steps}",
            "" if accuracy is None else f"{accuracy:.3f}", clock_text(course.elapsed),
        )  # fmt: skip
    for name in unreadable:
        shown.add_row(escaped(name), "unreadable", "", "", "")
    return shown


def summary_of(
    courses: Sequence[Course],
    planned: Mapping[int, float],
    unreadable: Sequence[str] = (),
    at_once: int | None = None,
) -> str:
    """Return the counts of all states, and about how long the rest takes, with so many runs at a time."""
    counts = Counter(course.state.state for course in courses)
    parts = [f"{counts[state]} {state}" for state in _ORDER if counts[state]]
    parts += [f"{len(unreadable)} unreadable"] if unreadable else []
    text = ", ".join(parts) or "no runs"
    if not any(counts[state] for state in ("running", "interrupted", "waiting")):
        return text
    left = seconds_left(courses, planned, at_once)
    if left is None:
        return text
    paced = at_once or counts["running"]
    pace = f"{paced} at a time" if paced > 1 else "one after the other"
    return f"{text}; about {time_text(_rounded(left))} left, {pace}"


def _rounded(seconds: float) -> float:
    """Return seconds without the digits that an estimate does not have: 10 s, from ten minutes on whole minutes."""
    step = 60 if seconds >= 600 else 10
    return max(round(seconds / step) * step, step)


def course_object(course: Course) -> dict[str, Any]:
    """Return a run's state and latest results as plain values."""
    state = course.state
    return {
        "name": state.run.name,
        "state": state.state,
        "reason": state.reason,
        "step": course.step,
        "steps": state.run.recipe.steps,
        "done": course.step / state.run.recipe.steps,
        "seconds": course.elapsed,
        HELD_OUT: _last(state, HELD_OUT),
        SEEN: _last(state, SEEN),
        "loss": state.log.loss[-1].loss if state.log and state.log.loss else None,
    }


def _last(state: State, series: str) -> float | None:
    records = [record for record in state.log.retention if record.probe == series] if state.log else []
    return records[-1].accuracy if records else None


@contextmanager
def live(
    runs: Sequence[SweepRun],
    planned: Mapping[int, float],
    unreadable: Sequence[str] = (),
    at_once: int | None = None,
) -> Iterator[Callable[[SweepRun, int], None]]:
    """Show a live table of the runs on stderr, or, where that is no terminal, a line for each run that ends.

    Args:
        runs: Those that can be read.
        planned: Seconds per step on the planning machine, by model size.
        unreadable: Names of the runs that cannot be read.
        at_once: Runs that are trained at a time; None where that is not known.
    """
    out = safe_console(stderr=True)
    done: dict[str, State] = {}  # finished runs, whose logs no longer change and are not read again

    def courses() -> list[Course]:
        states = {state.run.name: state for state in states_of([run for run in runs if run.name not in done])}
        done.update({name: state for name, state in states.items() if state.state == "finished"})
        return courses_of([done[run.name] if run.name in done else states[run.name] for run in runs])

    def ended(run: SweepRun, code: int) -> None:
        if not out.is_terminal:
            state = "finished" if code == 0 else f"failed with {code}"
            summary = summary_of(courses(), planned, unreadable, at_once)
            out.print(f"{run.name}: {state}. {summary}", highlight=False, soft_wrap=True)

    def current_table() -> Table:
        return live_table(courses(), planned, unreadable, out.height, at_once)

    if not out.is_terminal:
        yield ended
        return
    with Live(console=out, get_renderable=current_table, refresh_per_second=_REFRESH):
        yield ended


def live_table(
    courses: Sequence[Course],
    planned: Mapping[int, float],
    unreadable: Sequence[str],
    height: int,
    at_once: int | None = None,
) -> Table:
    """Return the live table: running runs first, as many as the terminal has lines for, and the summary below."""
    rows = max(min(_ROWS, height - 6), 1)
    shown = sorted(courses, key=lambda course: _ORDER.index(course.state.state))[:rows]
    found = courses_table(shown, unreadable[: rows - len(shown)])
    found.caption = summary_of(courses, planned, unreadable, at_once)
    found.caption_justify = "left"
    return found


def clock_text(seconds: float | None) -> str:
    """Return seconds as a clock shows them: ``1:02:05``, in as few columns as a table has."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def time_text(seconds: float | None) -> str:
    """Return seconds as people write them: ``2 h 05 min``."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest:02} s" if rest else f"{minutes} min"


def unreadable_names(sweep: Path, runs: Sequence[SweepRun]) -> list[str]:
    """Return the names of planned runs that are not among the readable ones."""
    readable = {run.name for run in runs}
    return sorted(path.name for path in (sweep / "configs").glob("*") if path.is_dir() and path.name not in readable)
