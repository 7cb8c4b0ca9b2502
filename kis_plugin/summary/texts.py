"""A run as text of at most 80 columns: a table row at each evaluation, and the summary at the end."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from kis_plugin.amounts import short
from kis_plugin.escapes import escaped
from kis_plugin.retention.series import ABOVE_CONTROL, BACKGROUND, CONTROL, HELD_OUT, KNOWN, SEEN, SUPERSEDED
from kis_plugin.run.log import GENERAL, LOG_NAME
from kis_plugin.summary.exposures import exposures_text
from kis_plugin.summary.history import Evaluation, History, Point
from kis_plugin.summary.verdict import verdict_of

__all__ = ["NAMES", "WIDTH", "EvaluationTable", "path_text", "summary_lines"]

WIDTH = 80
_LABEL = 12  # columns of a label of the summary, its space included
_INDENT = "  "
NAMES: Mapping[str, str] = {HELD_OUT: "held-out", ABOVE_CONTROL: "difference"}
"""Series whose names people read otherwise."""
_COLUMNS = (SEEN, CONTROL, BACKGROUND)
_MOST_LOST = 0.01  # nats that general loss may rise above its lowest value without being called forgetting


class EvaluationTable:
    """The rows of one run's table; its columns are those of the first evaluation."""

    def __init__(self) -> None:
        self._columns: tuple[str, ...] | None = None
        self._main = HELD_OUT
        self._head = ""

    def lines(self, history: History, evaluation: Evaluation) -> Iterator[str]:
        """Yield the row of an evaluation; before it the head, where it is the first or chance is another."""
        if self._columns is None:
            self._main = history.main or HELD_OUT
            self._columns = tuple(name for name in _COLUMNS if name in evaluation.series)
        main = evaluation.series.get(self._main)
        if main is None:
            return
        head = self._head_of(main)
        if head != self._head:
            self._head = head
            yield head
        cells = "".join(_cell(evaluation.series.get(name)) for name in self._columns)
        interval = f"[{main.low:.3f}, {main.high:.3f}]"
        loss = _loss_text(history, evaluation.step)
        yield f"{evaluation.step:>8,}  {main.accuracy:<9.3f}{interval:14}{cells}  {loss}".rstrip()

    def _head_of(self, main: Point) -> str:
        chance = "95 % interval" if main.chance is None else f"(chance {main.chance:.3f})"
        heads = "".join(f"{NAMES.get(name, name)[:8]:>9}" for name in self._columns or ())
        name = NAMES.get(self._main, escaped(self._main))
        # The host's losses come after the first evaluation, under a name that is not known yet.
        return f"{'step':>8}  {name[:8]:9}{chance:14}{heads[:27]}  loss"


def _cell(point: Point | None) -> str:
    return " " * 9 if point is None else f"{point.accuracy:>9.3f}"


def _loss_text(history: History, step: int) -> str:
    """Return the latest general loss up to a step; with its own step where that is another."""
    known = [(at, loss) for at, loss in history.losses.get(history.general_split or "", ()) if at <= step]
    if not known:
        return ""
    at, loss = known[-1]
    return f"{loss:.3f}" if at == step else f"{loss:.3f} @{at:,}"


def summary_lines(history: History, next_command: str = "") -> Iterator[str]:
    """Yield the lines of a run's summary.

    Args:
        history: The run.
        next_command: What to enter next; none by default.
    """
    yield from _folded(f"run {history.run.run_id}", "")
    for label, text in _entries(history):
        yield from _folded(text, label)
    yield f"{_INDENT}{'log':{_LABEL}}{escaped(path_text(history.log.path))}"
    if next_command:
        yield f"{_INDENT}{'next':{_LABEL}}{escaped(next_command)}"


def _folded(text: str, label: str) -> Iterator[str]:
    """Yield lines of a text beside its label; a word that is wider than all columns stays whole, to be copied."""
    first = f"{_INDENT}{label[: _LABEL - 1]:{_LABEL}}" if label else ""
    rest = " " * (len(_INDENT) + _LABEL)
    yield from textwrap.wrap(
        escaped(text), WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False,
        break_on_hyphens=False,
    ) or [first]  # fmt: skip


def _entries(history: History) -> Iterator[tuple[str, str]]:
    run, end = history.run, history.log.end
    yield "state", "unfinished" if end is None else f"{end.status} at step {end.step:,}"
    framework = f", framework {run.framework}" if run.framework else ""
    yield "model", f"{short(run.params)} parameters, D = {short(run.tokens)} tokens{framework}"
    facts = f"{run.facts:,} facts, " if run.facts is not None else ""
    share = f", {run.share:.3g} of D" if run.share is not None else ""
    yield "infused", f"{facts}{exposures_text(history.log)}{share}"
    for name in dict.fromkeys((history.main, SEEN, CONTROL, ABOVE_CONTROL)):
        if name and (points := history.points(name)):
            yield NAMES.get(name, name), _course(name, points[0][1], points[-1][1])
    yield "forgotten", _forgotten(history)
    yield "evaluation", _cost(history)
    yield "verdict", verdict_of(history).sentence


def _course(name: str, first: Point, last: Point) -> str:
    """Return a series from its first to its last evaluation."""
    sign = "+" if name == ABOVE_CONTROL else ""
    ends = [f"{point.accuracy:{sign}.3f}" for point in (first, last)]
    course = ends[1] if first is last else " -> ".join(ends)
    interval = f"[{last.low:{sign}.3f}, {last.high:{sign}.3f}]"
    if name == ABOVE_CONTROL:
        return f"{course} {interval}, held-out minus control"
    chance = "" if last.chance is None else f", chance {last.chance:.3f}"
    return f"{course} {interval}{chance}, {last.n:,} probes"


def _forgotten(history: History) -> str:
    """Return what the model lost: general loss above its lowest value, facts of the base data, facts known before."""
    found = []
    split = history.general_split
    if split:
        losses = history.losses[split]
        step, lowest = min(losses, key=lambda at: (at[1], at[0]))
        name = "general loss" if split == GENERAL else f"loss on {split}"
        course = (
            f"{name} {losses[-1][1]:.3f}" if len(losses) == 1 else f"{name} {losses[0][1]:.3f} -> {losses[-1][1]:.3f}"
        )
        rose = losses[-1][1] - lowest > _MOST_LOST
        found.append(f"{course}{f', lowest {lowest:.3f} at step {step:,}' if rose else ''}")
    for series, name in (
        (BACKGROUND, "background facts"),
        (KNOWN, "facts known before"),
        (SUPERSEDED, "replaced facts"),
    ):
        first, last = history.first(series), history.last(series)
        if first and last and first is not last:
            found.append(
                f"{name} {first.accuracy:.3f} -> {last.accuracy:.3f}{' (fell)' if first.exceeds(last) else ''}"
            )
    return "; ".join(found) or "not measured (retention.general_text, retention.background)"


def _cost(history: History) -> str:
    count, seconds, whole = len(history.evaluations), history.evaluation_seconds, history.seconds
    text = f"{count} evaluation{'' if count == 1 else 's'}"
    if seconds is not None:
        text += f" in {_time(seconds)}"
        text += f", {min(seconds / whole, 1):.1%} of the run's {_time(whole)}" if whole else ""
    return text


def _time(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def path_text(path: Path) -> str:
    """Return a path as the user would enter it here: relative to the working folder if it is below that."""
    found = Path(os.path.abspath(path))  # not resolved: the user's own links stay  # noqa: PTH100
    here = Path.cwd()
    found = found.relative_to(here) if found.is_relative_to(here) else found
    return shlex.quote(str(found.parent if found.name == LOG_NAME else found))
