"""Facts from tables: JSONL, CSV and TSV with a subject, a relation and an object."""

from __future__ import annotations

import csv
from pathlib import Path

from kis_plugin.knowledge import Knowledge
from kis_plugin.sources.fact_list import NAMES, FactList
from kis_plugin.sources.text_files import Problems, first_record, kind_of, lines, records

__all__ = ["TripleSource"]

JSONL = (".jsonl", ".ndjson")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
COLUMNS = {name.lower(): name for names in NAMES.values() for name in names} | {"id": "id"}


class TripleSource:
    """JSONL with subject, relation and object in each record, CSV or TSV with such columns; also .gz and .xz."""

    name = "triples"

    def claims(self, path: Path) -> bool:
        """Return whether this is a table, or JSONL whose first record has a part of a fact or cannot be read."""
        if not path.is_file():
            return False
        if kind_of(path) in DELIMITERS:
            return True
        if kind_of(path) not in JSONL:
            return False
        record = first_record(path)
        return record is None or not COLUMNS.keys().isdisjoint(key.lower() for key in record if key != "id")

    def read(self, path: Path) -> Knowledge:
        """Read all facts.

        Raises:
            KISError: Everything wrong with the file, each with its line.
        """
        problems = Problems(path)
        found = FactList(path, problems)
        if kind_of(path) in DELIMITERS:
            _read_table(path, found, problems)
        else:
            for line, record in records(path, problems):
                found.add(line, record)
        if not found.facts and not len(problems):
            problems.add(str(path), "no facts", "a subject, a relation and an object in each record")
        problems.raise_any()
        return Knowledge(facts=tuple(found.facts))


def _read_table(path: Path, found: FactList, problems: Problems) -> None:
    # Strict: a quote out of place is an error. Lenient, csv would drop it from the value without a word.
    reader = csv.reader((line for _, line in lines(path, problems)), delimiter=DELIMITERS[kind_of(path)], strict=True)
    columns: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            hint = 'A value with a quote in it is written """like"" this".' if "expected after" in str(error) else ""
            problems.add(f"{path}:{line}", f"a row that is no {kind_of(path)[1:].upper()} ({error})", "a row", hint)
            return
        if row is None:
            return
        if not columns:
            columns = [COLUMNS.get(name.strip().lower(), name.strip()) for name in row]
            if not _has_all(columns, path, line, problems):
                return
        elif len(row) not in (0, len(columns)):
            problems.add(f"{path}:{line}", f"{len(row)} columns", f"{len(columns)}, as the first row has")
        elif row:
            found.add(line, dict(zip(columns, row, strict=True)))


def _has_all(columns: list[str], path: Path, line: int, problems: Problems) -> bool:
    before = len(problems)
    shown = ", ".join(map(repr, columns[:8]))
    hint = "Values are parted by commas in .csv, by tabs in .tsv." if len(columns) == 1 else ""
    for part, names in NAMES.items():
        if not set(names) & set(columns):
            expected = f"the column {part!r} in the first row"
            problems.add(f"{path}:{line} {part}", f"only the columns {shown}", expected, hint)
    for name in sorted({name for name in columns if name in COLUMNS.values() and columns.count(name) > 1}):
        problems.add(f"{path}:{line} {name}", "the column more than once", "it once")
    return len(problems) == before
