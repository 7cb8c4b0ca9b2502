"""One pass over a run log that keeps what a prediction needs: memory does not grow with the length of the log.

Thousands of lines are parsed by one call of the JSON parser. Records whose values have the right types are taken as
they are; any other one goes through the schema's own check, which names what is wrong with it. Beyond the first 64 MB a
log is skimmed: of records that begin and end as records do, only the last of each series is parsed, as no other counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.log import (
    GENERAL,
    SCHEMA,
    EmptyLogError,
    End,
    Guard,
    LogLines,
    Loss,
    Record,
    Retention,
    Run,
    is_plain,
    newer_schema,
    parse_line,
    parse_record,
)

__all__ = ["HELD_OUT", "Scan", "scan"]

HELD_OUT = "held_out"
_MOST_SPLITS = 1000
_SKIM_BEYOND = 64 * 2**20  # characters
_SPLIT = re.compile(r'"split": ?"[^"\\]{1,200}"')
_SKIMMED = tuple(f'{{"type":{space}"{kind}"' for kind in (Retention.type, Loss.type, Guard.type) for space in (" ", ""))
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
    _losses: dict[str, tuple[int, float]] = field(default_factory=dict)  # line and last loss, by split
    _last_held_out: tuple[int, Mapping[str, Any], int] | None = None  # line, values, schema
    _aside: dict[str, tuple[int, str, int]] = field(default_factory=dict)  # number, text, schema: not parsed yet
    _schema: int = SCHEMA  # of the latest run record

    def general_loss(self, named: str | None = None) -> tuple[float | None, tuple[str, ...]]:
        """Return the last general loss, nats per token, and the evaluation sets among which it is unclear.

        Args:
            named: The general one; None for ``retention.general_split`` of the run, else the only one of the host,
                else what KIS measured itself.

        Returns:
            None for no loss; and no names where it is clear.
        """
        in_log = self.run.extra.get("general_split") if self.run else None
        wanted = named or (in_log if isinstance(in_log, str) else None)
        of_host = [split for split in self._losses if split != GENERAL]
        if wanted is not None:
            # The Trainer puts eval_ before the names of its evaluation sets.
            split = next((split for split in (wanted, f"eval_{wanted}") if split in self._losses), None)
            if split is not None:
                return self._losses[split][1], ()
            if wanted != GENERAL or named is not None:
                return None, tuple(sorted(self._losses))
        if len(of_host) > 1:
            return None, tuple(sorted(of_host))
        found = self._losses.get(of_host[0] if of_host else GENERAL)
        return (None if found is None else found[1]), ()

    def take(self, number: int, values: Mapping[str, Any]) -> None:
        """Add the record of line ``number``."""
        kind = values["type"]
        if kind in _TAKERS and not is_plain(values):
            if kind == Run.type:
                self._schema = values.get("schema", SCHEMA)  # a resumed run may go on in a later format
            record, problems = parse_record(values, self._where(number), self._schema)
            self._problems += problems
            if record is not None:
                _TAKERS[kind](self, number, values, record)
        elif kind in _TAKERS:
            _TAKERS[kind](self, number, values, None)

    def skim(self, number: int, text: str) -> bool:
        """Set a line aside if it is plainly a record of which only the last counts; return whether it is."""
        if not (text.startswith(_SKIMMED) and text.endswith("}")) or "NaN" in text or "Infinity" in text:
            return False
        if f'"{HELD_OUT}"' in text:
            self._aside[HELD_OUT] = (number, text, self._schema)
        elif text.startswith(_SKIMMED[2:4]):
            split = _SPLIT.search(text)
            if split is None or not (split[0] in self._aside or len(self._aside) < _MOST_SPLITS):
                return False
            self._aside[split[0]] = (number, text, self._schema)
        return True

    def _where(self, number: int) -> str:
        return f"{self.path}:{number}"

    def _take_run(self, number: int, values: Mapping[str, Any], record: Record | None) -> None:
        if not isinstance(record, Run):
            return
        if self.run is None:
            self.run = record
        differs = next((name for name in _PLAN if getattr(record, name) != getattr(self.run, name)), None)
        if differs and not self.changed:
            self.changed = f"{differs} {getattr(self.run, differs)}, then {getattr(record, differs)}"

    def _take_retention(self, number: int, values: Mapping[str, Any], record: Record | None) -> None:
        if _is_not_finite(values["accuracy"]):
            self.diverged = True
        elif values["probe"] == HELD_OUT and (self._last_held_out is None or number > self._last_held_out[0]):
            self._last_held_out = (number, values, self._schema)

    def _take_loss(self, number: int, values: Mapping[str, Any], record: Record | None) -> None:
        value = values["loss"]
        if _is_not_finite(value):
            self.diverged = True
        elif values["split"] in self._losses or len(self._losses) < _MOST_SPLITS:
            self._losses[values["split"]] = max(self._losses.get(values["split"], (0, 0.0)), (number, float(value)))

    def _take_guard(self, number: int, values: Mapping[str, Any], record: Record | None) -> None:
        """Keep nothing: a prediction does not use what the guard found."""

    def _take_end(self, number: int, values: Mapping[str, Any], record: Record | None) -> None:
        if isinstance(record, End):
            self.end = record

    def finish(self, lines: LogLines) -> Scan:
        """Check what could not be checked on the way, and raise every problem."""
        self.warnings += lines.warnings
        self._problems += lines.problems
        for number, text, schema in self._aside.values():
            self._schema, values = schema, parse_line(text)
            if isinstance(values, dict):
                self.take(number, values)
            else:
                self._problems.append(
                    Problem(self._where(number), f"a line that is not JSON ({values})", "one JSON object")
                )
        if self._last_held_out:
            number, values, schema = self._last_held_out
            record, problems = parse_record(values, self._where(number), schema)
            self._problems += problems
            self.held_out = record if isinstance(record, Retention) else None
        if not self._problems and self.run is None:
            hint = "Take the folders of runs that never began out of the sweep."
            problem = Problem(str(self.path), "no record of type 'run'", "one as the first line", hint)
            raise (EmptyLogError if lines.only_torn else KISError)(problem)
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
    found = Scan(path)
    lines = LogLines(path, found.skim, _SKIM_BEYOND)
    for number, values in lines:
        found.take(number, values)
    return found.finish(lines)


def _is_not_finite(value: object) -> bool:
    return isinstance(value, float) and value - value != 0


_TAKERS: Mapping[str, Callable[..., None]] = {
    Run.type: Scan._take_run,
    Retention.type: Scan._take_retention,
    Loss.type: Scan._take_loss,
    Guard.type: Scan._take_guard,
    End.type: Scan._take_end,
}
