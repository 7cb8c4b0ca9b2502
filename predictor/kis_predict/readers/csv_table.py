"""CSV tables, one run a row: as people keep their sweeps and as W&B exports them, with commas, semicolons or tabs."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kis_plugin.errors import KISError, Problem, nearest
from kis_plugin.storage.compressed_files import COMPRESSED, open_stream, plain_name
from kis_plugin.storage.text_lines import text_lines
from kis_predict.observed import ObservedRun
from kis_predict.readers.bounds import NUMBERS, REQUIRED, impossible, number
from kis_predict.readers.evaluation_losses import general_loss_key
from kis_predict.readers.foreign import MapUse
from kis_predict.recipe import settings_of

__all__ = ["CSVReader", "header_of", "mapping_hint"]

_REQUIRED = (*REQUIRED, "retention")
_TEXTS = ("status",)
_KINDS = (".csv", ".tsv")
_DELIMITERS = (",", ";", "\t")
_MOST_RUNS, _MOST_PROBLEMS = 1_000_000, 100
_LONGEST_HEADER = 10**6
FINISHED = ("completed", "finished")
_UNCLEAR = "(evaluation sets)"
_NOT_FINITE = ("nan", "inf", "infinity")


@dataclass(frozen=True)
class CSVReader:
    """Reads a table with one run a row and the run log's names as columns.

    Of other columns, those of the recipe, such as ``learning_rate``, are compared between runs. Without a column
    ``loss``, general loss is that of an evaluation set, as W&B exports it: ``eval/loss``, ``eval/wiki_loss``.

    Attributes:
        mapping: Columns by other names, by field: ``{"params": "config.n_params"}``.
        general_split: The evaluation set whose loss is general loss, where there are several.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    general_split: str | None = None
    name = "CSV"
    names = tuple(f"*{kind}{ending}" for kind in _KINDS for ending in ("", *COMPRESSED))

    def with_mapping(self, mapping: Mapping[str, str]) -> CSVReader:
        """Return a reader that takes columns by the names in ``mapping``."""
        return replace(self, mapping=mapping)

    def with_general_split(self, name: str) -> CSVReader:
        """Return a reader that takes general loss from the evaluation set ``name``."""
        return replace(self, general_split=name)

    def claims(self, path: Path) -> bool:
        """Return whether the file is a table, by its ending, that has at least two of the required columns."""
        return len(set(_REQUIRED) & set(self._fields(header_of(path)[1]))) >= 2

    def read(self, path: Path) -> list[ObservedRun | MapUse]:
        """Return the runs, one a row, and where ``mapping`` led.

        Raises:
            KISError: Missing columns, or every value that no run can have, with its line.
        """
        delimiter, header = header_of(path)
        fields = self._fields(header)
        problems = self._header_problems(path, header, fields)
        if problems:
            raise KISError(problems)
        runs: list[ObservedRun | MapUse] = []
        columns = {name.strip().lower() for name in header}
        if self.mapping:
            unmatched = [name for name, column in self.mapping.items() if column.strip().lower() not in columns]
            runs.append(MapUse(str(path), tuple(unmatched), tuple(header)))
        for where, row in _rows(path, delimiter, problems):
            if len(row) != len(header):
                # A row cut short, or 0,4 for 0.4: all that follows would be read in the wrong columns.
                problems.append(Problem(where, f"{len(row)} columns", f"{len(header)}, as the first row has"))
            else:
                run, wrong = _run(self._with_loss(dict(zip(fields, row, strict=True))), where)
                problems += wrong
                runs += [run] if run else []
            if len(problems) > _MOST_PROBLEMS or len(runs) > _MOST_RUNS:
                break
        if len(runs) > _MOST_RUNS:
            problems.append(Problem(str(path), f"more than {_MOST_RUNS:,} rows", "a table with one run a row"))
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

    def _with_loss(self, cells: dict[str, str]) -> dict[str, str]:
        """Return a row with its general loss as ``loss``; of columns named by nobody, the names of their sets."""
        if "loss" in self.mapping:
            return cells
        losses = [name for name, text in cells.items() if text.strip()]
        named = self.general_split.strip().lower() if self.general_split else None  # as columns are
        key, unclear = general_loss_key(losses, named)
        if key is not None and (self.general_split is not None or not cells.get("loss", "").strip()):
            if cells[key].strip().lower().lstrip("+-") in _NOT_FINITE:  # as diverged runs are exported
                return cells | {"status": "diverged"}
            return cells | {"loss": cells[key]}
        return cells if cells.get("loss", "").strip() else cells | {_UNCLEAR: ",".join(unclear)}

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


def header_of(path: Path) -> tuple[str, list[str]]:
    """Return the delimiter of a table and the names of its columns; no columns where it is no table."""
    if not plain_name(path.name).lower().endswith(_KINDS) or not path.is_file():  # a named pipe would wait for ever
        return ",", []
    try:
        with open_stream(path) as stream:
            first = stream.read(_LONGEST_HEADER).partition(b"\n")[0].decode("utf-8", errors="replace")
    except KISError:
        return ",", []  # damaged: the error comes when the file is read
    headers = {}
    for delimiter in _DELIMITERS:
        try:
            headers[delimiter] = next(csv.reader([first.strip("\ufeff\r\n\0")], delimiter=delimiter), [])
        except csv.Error:
            headers[delimiter] = []
    return max(headers.items(), key=lambda item: len(item[1]))  # of equal ones the first: a comma


def _rows(path: Path, delimiter: str, problems: list[Problem]) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows below the header that are not empty, each with its place."""
    try:
        rows = csv.reader(text_lines(path), delimiter=delimiter)
        next(rows, None)
        for row in rows:
            if any(cell.strip() for cell in row):
                yield f"{path}:{rows.line_num}", row
    except csv.Error as error:
        problems.append(Problem(f"{path}:{rows.line_num}", str(error), "a row of a CSV table"))
    except OSError as error:
        raise KISError(Problem(str(path), str(error.strerror or error), "a readable CSV table")) from error


def mapping_hint(path: Path) -> str:
    """Return which ``--map`` options a table of other column names needs; empty where it is no table."""
    columns = [name.strip() for name in header_of(path)[1] if name.strip()]
    if len(columns) < len(_REQUIRED):
        return ""
    pairs = []
    for name in _REQUIRED:
        likely = (column for mark in _LIKELY[name] for column in columns if mark in column.lower())
        column = next(likely, "COLUMN")
        pairs.append(f"--map {name}={shlex.quote(column)}")
    shown = ", ".join(columns[:12]) + (" ..." if len(columns) > 12 else "")
    return f"Name its columns: {' '.join(pairs)}. They are: {shown}."


_LIKELY: Mapping[str, tuple[str, ...]] = {
    "params": ("n_params", "num_param", "param", "model_size"),
    "tokens": ("max_tokens", "total_tokens", "train_tokens", "tokens"),
    "frequency": ("frequency", "exposures", "repeats"),
    "retention": ("retention/held_out", "held_out", "retention", "accuracy", "acc"),
}
"""Parts of the names that columns have in exports of W&B and others, the likeliest first."""


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
    unclear = tuple(cells.get(_UNCLEAR, "").split(",")) if cells.get(_UNCLEAR) else ()
    run = replace(run, settings=settings_of(cells), loss_splits=unclear)
    problems = [Problem(f"{where} {key}", repr(values[key]), expected) for key, expected in impossible(run)]
    return (None, problems) if problems else (run, [])


_EMPTY = ObservedRun(source="", params=1, tokens=1, frequency=0.0, retention=None)
