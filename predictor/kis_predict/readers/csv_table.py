"""CSV tables: one run a row, as people keep their sweeps and as W&B exports them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kis_plugin.errors import KISError, Problem, nearest
from kis_predict.observed import ObservedRun
from kis_predict.readers.bounds import NUMBERS, REQUIRED, impossible, number
from kis_predict.readers.foreign import MapUse

__all__ = ["CSVReader"]

_REQUIRED = (*REQUIRED, "retention")
_TEXTS = ("status",)
FINISHED = ("completed", "finished")


@dataclass(frozen=True)
class CSVReader:
    """Reads a table with one run a row and the run log's names as columns; other columns are ignored.

    Attributes:
        mapping: Columns by other names, by field: ``{"params": "config.n_params"}``.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    name = "CSV"
    names = ("*.csv",)

    def with_mapping(self, mapping: Mapping[str, str]) -> CSVReader:
        """Return a reader that takes columns by the names in ``mapping``."""
        return replace(self, mapping=mapping)

    def claims(self, path: Path) -> bool:
        """Return whether the file is a ``.csv`` that has at least two of the required columns."""
        if path.suffix.lower() != ".csv" or not path.is_file():  # a named pipe would wait for ever
            return False
        with path.open("rb") as file:
            first = file.readline(100_000).decode("utf-8", errors="replace")
        try:
            header = next(csv.reader([first.strip("\ufeff\r\n\0")]), [])
        except csv.Error:
            return False
        return len(set(_REQUIRED) & set(self._fields(header))) >= 2

    def read(self, path: Path) -> list[ObservedRun | MapUse]:
        """Return the runs, one a row, and where ``mapping`` led.

        Raises:
            KISError: Missing columns, or every value that no run can have, with its line.
        """
        try:
            text = path.read_text(encoding="utf-8-sig", errors="replace")
        except OSError as error:
            raise KISError(Problem(str(path), str(error.strerror or error), "a readable CSV table")) from error
        rows = csv.reader(text.splitlines())
        problems: list[Problem] = []
        runs: list[ObservedRun | MapUse] = []
        try:
            header = next(rows, [])
            fields = self._fields(header)
            problems += self._header_problems(path, header, fields)
            columns = {name.strip().lower() for name in header}
            if self.mapping:
                unmatched = [name for name, column in self.mapping.items() if column.strip().lower() not in columns]
                runs.append(MapUse(str(path), tuple(unmatched), tuple(header)))
            for row in () if problems else rows:
                where = f"{path}:{rows.line_num}"
                if len(row) != len(header) and any(cell.strip() for cell in row):
                    # A row cut short, or 0,4 for 0.4: all that follows would be read in the wrong columns.
                    problems.append(Problem(where, f"{len(row)} columns", f"{len(header)}, as the first row has"))
                elif any(cell.strip() for cell in row):
                    run, wrong = _run(dict(zip(fields, row, strict=True)), where)
                    problems += wrong
                    runs += [run] if run else []
        except csv.Error as error:
            problems.append(Problem(f"{path}:{rows.line_num}", str(error), "a row of a CSV table"))
        if problems:
            raise KISError(problems)
        return runs

    def _fields(self, header: list[str]) -> list[str]:
        """Return the field that each column stands for; columns that stand for none keep their own names."""
        columns = [name.strip().lower() for name in header]
        mapped = {path.strip().lower(): name for name, path in self.mapping.items()}
        taken = {mapped[column] for column in columns if column in mapped}
        # A mapped column takes the place of one that has the field's own name.
        return [mapped.get(column, f"({column})" if column in taken else column) for column in columns]

    def _header_problems(self, path: Path, header: list[str], fields: list[str]) -> list[Problem]:
        columns = [column for column in header if column.strip()] or [""]
        missing = [
            Problem(f"{path}:1", f"no column {self.mapping.get(name, name)!r}", "it", nearest(name, columns))
            for name in _REQUIRED
            if name not in fields
        ]
        return missing + [
            Problem(f"{path}:1 {name}", "the column more than once", "it once")
            for name in (*NUMBERS, *_TEXTS)
            if fields.count(name) > 1
        ]


def _run(cells: Mapping[str, str], where: str) -> tuple[ObservedRun | None, list[Problem]]:
    """Build a run from a row, or return every problem that prevents it."""
    status = (cells.get("status") or "completed").strip().lower()
    finished = status in FINISHED
    values: dict[str, float] = {}
    problems = []
    for name in NUMBERS:
        text = (cells.get(name) or "").strip()
        if not text and (name not in _REQUIRED or (name == "retention" and not finished)):
            continue
        found = number(name, text, where)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            values[name] = found
    if problems:
        return None, problems
    options = values.pop("options", None)
    if options is not None and "chance" not in values:
        if options < 2:
            return None, [Problem(f"{where} options", f"{options:g}", "2 options or more")]
        values["chance"] = 1 / options
    run = replace(_EMPTY, source=where, status="completed" if finished else status, **values)  # type: ignore[arg-type]
    problems = [Problem(f"{where} {key}", repr(values[key]), expected) for key, expected in impossible(run)]
    return (None, problems) if problems else (run, [])


_EMPTY = ObservedRun(source="", params=1, tokens=1, frequency=0.0, retention=None)
