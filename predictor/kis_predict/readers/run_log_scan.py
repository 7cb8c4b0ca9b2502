"""One pass over a run log that keeps what a prediction needs: memory does not grow with the length of the log.

Thousands of lines are parsed by one call of the JSON parser, which is what makes a pass fast. Records that are plainly
in order are only looked at; any other one goes through the schema's own check, which names what is wrong with it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.log import (
    GENERAL,
    EmptyLogError,
    End,
    Guard,
    Loss,
    Record,
    Retention,
    Run,
    newer_schema,
    parse_record,
)
from kis_predict.readers.lines import line_blocks

__all__ = ["HELD_OUT", "Scan", "scan"]

HELD_OUT = "held_out"
_MOST_PROBLEMS = 100
_SEPARATOR = f'"{secrets.token_hex(8)}"'
"""Stands between the lines of a block: a log cannot contain it, so each line is known to be one value of its own."""
_PLAN = ("params", "tokens", "frequency", "facts", "options", "seed", "schedule_hash")


@dataclass
class Scan:
    """What a run log says at its end.

    Attributes:
        path: The file.
        run: The first run record.
        held_out: The last held-out record.
        loss: The last loss of the host's own text; where it has none, that of ``retention.general_text``.
        end: The last end record; None while the run is unfinished.
        diverged: Whether a measurement was not finite.
        changed: What a later run record says differently than the first one: the run went on with another plan.
        warnings: What was odd about the file, one line each.
    """

    path: Path
    run: Run | None = None
    held_out: Retention | None = None
    end: End | None = None
    diverged: bool = False
    changed: str = ""
    warnings: list[str] = field(default_factory=list)
    _problems: list[Problem] = field(default_factory=list)
    _host_loss: float | None = None
    _general_loss: float | None = None
    _last_held_out: tuple[str, Mapping[str, Any]] | None = None
    _torn: tuple[str, int, str] | None = None  # where, characters, why: of a line that waits for its successor
    _lines: int = 0

    @property
    def loss(self) -> float | None:
        return self._general_loss if self._host_loss is None else self._host_loss

    def take(self, where: str, text: str, values: Any) -> None:
        """Add the value of one line, or the exception that parsing it raised."""
        self._lines += 1
        if self._torn:
            self._settle_torn(isinstance(values, dict) and values.get("type") == Run.type)
        if isinstance(values, Exception):
            self._torn = (where, len(text), str(values))
            return
        kind = values.get("type") if isinstance(values, dict) else None
        if not isinstance(kind, str):
            self._problems.append(Problem(where, f"{text.strip()[:60]!r}", 'a JSON object with a "type"'))
        elif kind in _TAKERS:
            if kind in _PLAIN and all(type(values.get(name)) in types for name, types in _PLAIN[kind]):
                _TAKERS[kind](self, where, values)
            else:
                self._check(where, values, kind)

    def _check(self, where: str, values: Mapping[str, Any], kind: str) -> None:
        if kind in (Retention.type, Loss.type) and _is_not_finite(values.get("accuracy", values.get("loss"))):
            self.diverged = True
            return
        record, problems = parse_record(values, where)
        self._problems += problems
        if record is not None:
            _TAKERS[kind](self, where, values, record)

    def take_run(self, where: str, values: Mapping[str, Any], record: Record | None = None) -> None:
        if not isinstance(record, Run):
            return
        if self.run is None:
            self.run = record
        differs = next((name for name in _PLAN if getattr(record, name) != getattr(self.run, name)), None)
        if differs and not self.changed:
            self.changed = f"{differs} {getattr(self.run, differs)}, then {getattr(record, differs)}"

    def take_retention(self, where: str, values: Mapping[str, Any], record: Record | None = None) -> None:
        if values["probe"] == HELD_OUT:
            self._last_held_out = (where, values)

    def take_loss(self, where: str, values: Mapping[str, Any], record: Record | None = None) -> None:
        value = values["loss"]
        if value - value != 0:  # infinite or not a number
            self.diverged = True
        elif values["split"] == GENERAL:
            self._general_loss = value
        else:
            self._host_loss = value

    def take_guard(self, where: str, values: Mapping[str, Any], record: Record | None = None) -> None:
        """Guard records carry nothing that a prediction uses."""

    def take_end(self, where: str, values: Mapping[str, Any], record: Record | None = None) -> None:
        if isinstance(record, End):
            self.end = record

    def _settle_torn(self, resumed: bool, last: bool = False) -> None:
        """Decide about a line that is no JSON: a killed run leaves one last, or before its resumed self's record."""
        assert self._torn
        where, characters, why = self._torn
        self._torn = None
        if resumed or last:
            place = "last line" if last else "line"
            self.warnings.append(f"{where}: {place} is torn ({characters} characters) and was left out")
        else:
            self._problems.append(Problem(where, f"a line that is not JSON ({why})", "one JSON object"))

    def finish(self, open_end: bool) -> Scan:
        """Check what could not be checked on the way, and raise every problem."""
        if self._torn:
            self._settle_torn(False, last=open_end)
        if self._last_held_out:
            where, values = self._last_held_out
            record, problems = parse_record(values, where)
            self._problems += problems
            self.held_out = record if isinstance(record, Retention) else None
        if not self._problems and self.run is None:
            hint = "Take the folders of runs that never began out of the sweep."
            problem = Problem(str(self.path), "no record of type 'run'", "one as the first line", hint)
            raise (EmptyLogError if len(self.warnings) == self._lines else KISError)(problem)
        if self.run is not None:
            self._problems += newer_schema(self.path, self.run)
        if self._problems:
            raise KISError(self._problems)
        return self


def scan(path: Path) -> Scan:
    """Read a run log, plain or compressed.

    Raises:
        EmptyLogError: The file is empty, or torn in its first line.
        KISError: Lines that are no records, or no run record; all of them, up to a hundred.
        OSError: It cannot be read.
    """
    found, ends_open = Scan(path), False
    for first, lines, ends_open in line_blocks(path):
        values = _parse_together(lines)
        for at, text in enumerate(lines):
            value = _parse(text) if values is None else values[at]
            if value is not None:
                found.take(f"{path}:{first + at}", text, value)
        if len(found._problems) > _MOST_PROBLEMS:
            break
    return found.finish(ends_open)


def _parse_together(lines: list[str]) -> list[Any] | None:
    """Return the values of lines by one call of the parser; None if one of them is empty or not one value."""
    try:
        values = json.loads(f"[{f',{_SEPARATOR},'.join(lines)}]")
    except (ValueError, RecursionError):
        return None
    apart = values[1::2]
    if len(values) != 2 * len(lines) - 1 or apart.count(_SEPARATOR[1:-1]) != len(apart):
        return None
    return values[::2]


def _parse(text: str) -> Any:
    """Return the value of a line, None for an empty one, and the exception of one that is not JSON."""
    if not text.strip():
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return error
    return "null" if value is None else value


def _is_not_finite(value: object) -> bool:
    return isinstance(value, float) and value - value != 0


_TYPES: Mapping[str, frozenset[type]] = {
    "int": frozenset({int}),
    "float": frozenset({int, float}),
    "str": frozenset({str}),
    "int | None": frozenset({int, type(None)}),
    "float | None": frozenset({int, float, type(None)}),
    "str | None": frozenset({str, type(None)}),
}
_PLAIN: Mapping[str, tuple[tuple[str, frozenset[type]], ...]] = {
    kind.type: tuple((f.name, _TYPES[str(f.type)]) for f in fields(kind) if str(f.type) in _TYPES)
    for kind in (Retention, Loss, Guard)
}
"""The types that the values of a record plainly in order have, by field; bool is no int here."""
_TAKERS: Mapping[str, Callable[..., None]] = {
    Run.type: Scan.take_run,
    Retention.type: Scan.take_retention,
    Loss.type: Scan.take_loss,
    Guard.type: Scan.take_guard,
    End.type: Scan.take_end,
}
