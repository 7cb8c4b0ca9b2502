"""The course of a run from a log of any length: whole series, thinned out where there are too many steps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from kis_plugin.errors import Problem
from kis_plugin.run.log_files.lines import parse_line
from kis_plugin.run.log_files.parse import parse_record
from kis_plugin.run.log_files.records import SCHEMA, Loss, Record, Retention

__all__ = ["SKIMMED", "Course"]

SKIMMED = 16 * 2**20
"""Characters of a log after which lines are skimmed: of records that begin and end as ours do, only those are parsed
that stay to the end."""
_MOST_RECORDS = 50_000
_MOST_SERIES = 1000
_LONGEST = 1000  # characters of a name
_LONG = 4096  # characters of a line
_MOST_VALUES = 64  # of a record
_NAMES = {Retention.type: "probe", Loss.type: "split"}  # guard records are one series
_HEAD = re.compile(
    r'\{"type": ?"(?:(guard)", ?"step": ?(\d{1,18}), |'
    r'(retention|loss)", ?"step": ?(\d{1,18}), ?"tokens": ?\d{1,18}, ?"(?:probe|split)": ?"([^"\\]{1,300})", )'
)
_ACCURACY = re.compile(r'"accuracy": ?(\d\.\d+)')

_Key = tuple[str, str]
"""Type and series."""
_Item = tuple[int, str, int]
"""Number of the line, its text and schema."""


class Course:
    """Keeps, of each step and series, the latest record, and at most 50,000 of them.

    Args:
        path: The log, for messages.

    Attributes:
        schema: Of the latest run record; whoever reads the log keeps it up to date.
        records: Those kept, in the order of the file; empty before ``finish``.
        warnings: One line if steps were left out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.schema = SCHEMA
        self.records: list[Record] = []
        self.warnings: list[str] = []
        self._steps: dict[int, dict[_Key, _Item]] = {}
        self._series: set[_Key] = set()
        self._count = self._left_out = 0

    def take(self, number: int, values: Mapping[str, Any]) -> list[Problem]:
        """Keep a retention, loss or guard record, and return what is wrong with it."""
        kind, where = values["type"], f"{self._path}:{number}"
        record, problems = parse_record(values, where, self.schema)
        if record is None:
            return problems
        name = str(values.get(_NAMES.get(kind, ""), ""))
        if kind == Retention.type and "/" in name:
            return []
        if not self._keep(int(values["step"]), (kind, name), (number, json.dumps(_short(values)), self.schema)):
            found = f"more than {_MOST_SERIES:,} series, or a name of more than {_LONGEST:,} characters"
            return [Problem(where, found, "the series of one run")]
        return []

    def skim(self, number: int, text: str) -> bool:
        """Keep a line unparsed if it plainly is such a record; return whether it is."""
        head = _HEAD.match(text)
        if head is None or len(text) > _LONG or text[-1] != "}" or "NaN" in text or "Infinity" in text:
            return False
        guard, at, kind, step, name = head.groups()
        if guard is None and kind == Retention.type and "/" in name:
            return True
        return self._keep(int(step or at), (kind or guard, name or ""), (number, text, self.schema))

    def finish(self) -> list[Problem]:
        """Turn what was kept into records, and return what is wrong with any."""
        problems = []
        for number, text, schema in sorted(self._items(), key=itemgetter(0)):
            where, values = f"{self._path}:{number}", parse_line(text)
            if not isinstance(values, dict):
                problems.append(Problem(where, f"a line that is not JSON ({values})", "one JSON object"))
                continue
            record, wrong = parse_record(values, where, schema)
            problems += wrong
            self.records += [record] if record else []
        if self._left_out:
            shown = f"{len(self._steps):,} of {len(self._steps) + self._left_out:,}"
            self.warnings.append(f"{self._path}: {shown} steps with records are shown")
        return problems

    def _items(self) -> Iterator[_Item]:
        return (item for series in self._steps.values() for item in series.values())

    def _keep(self, step: int, key: _Key, item: _Item) -> bool:
        if key not in self._series:
            if len(self._series) == _MOST_SERIES or len(key[1]) > _LONGEST:
                return False
            self._series.add(key)
        kept = self._steps.setdefault(step, {})
        self._count += key not in kept
        kept[key] = item
        if self._count > _MOST_RECORDS:
            self._thin()
        return True

    def _thin(self) -> None:
        """Keep the last step of each of evenly wide ranges, the first step, and the best ones."""
        steps = sorted(self._steps)
        width = max(1, -(-(steps[-1] - steps[0] + 1) // max(1, len(steps) // 2)))
        stays = {*{(step - steps[0]) // width: step for step in steps}.values()}
        if len(stays) > 0.75 * len(steps):  # steps that lie in heaps: every second of them
            stays = {*steps[::2], steps[-1]}
        stays |= {steps[0], *self._best()}
        self._left_out += len(steps) - len(stays)
        self._steps = {step: self._steps[step] for step in steps if step in stays}
        self._count = sum(map(len, self._steps.values()))

    def _best(self) -> set[int]:
        best: dict[str, tuple[float, int]] = {}
        for step, series in self._steps.items():
            for (kind, name), (_, text, _) in series.items():
                found = _ACCURACY.search(text) if kind == Retention.type else None
                if found and float(found[1]) > best.get(name, (-1.0, 0))[0]:
                    best[name] = (float(found[1]), step)
        return {step for _, step in best.values()}


def _short(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values without those that no record of ours has: a log may hold megabytes in each."""
    if len(values) <= _MOST_VALUES and all(map(_is_short, values.values())):
        return values
    return dict([item for item in values.items() if _is_short(item[1])][:_MOST_VALUES])


def _is_short(value: object) -> bool:
    return len(value) <= _LONGEST if isinstance(value, str) else not isinstance(value, (list, dict))
