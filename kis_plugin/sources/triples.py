"""Facts from tables: JSONL, CSV and TSV with a subject, a relation and an object."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from kis_plugin.knowledge import Fact, Knowledge
from kis_plugin.sources.fact_records import FACT_RULES, NAMES, OPTIONAL, FactRecords
from kis_plugin.sources.once import once_each
from kis_plugin.sources.text_files import Problems, first_record, kind_of, lines, records

__all__ = ["TripleSource"]

JSONL = (".jsonl", ".ndjson")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
COLUMNS = {name.lower(): name for names in NAMES.values() for name in names} | {name: name for name in OPTIONAL}
_PARTS = COLUMNS.keys() - set(OPTIONAL)


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
        return record is None or not _PARTS.isdisjoint(key.lower() for key in record)

    def read(self, path: Path) -> Knowledge:
        """Read all facts.

        Raises:
            KISError: Everything wrong with the file, each with its line.
        """
        return Knowledge(facts=tuple(self.stream(path)))

    def stream(self, path: Path) -> Iterator[Fact]:
        """Yield the facts one by one.

        Raises:
            KISError: Everything wrong with the file, each with its line, after the last fact.
        """
        nothing = ("no facts", "a subject, a relation and an object in each record")
        return once_each(
            lambda problems: _facts(path, problems),
            FACT_RULES,
            Problems(path),
            lambda line: (f"{path}:{line}", f"in line {line}"),
            nothing,
        )


def _facts(path: Path, problems: Problems) -> Iterator[tuple[int, Fact]]:
    """Yield each fact with its line."""
    table = kind_of(path) in DELIMITERS
    read = FactRecords(path, problems, table).facts
    for line, record in _rows(path, problems) if table else records(path, problems):
        for fact in read(line, record):
            yield line, fact


def _rows(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table with their lines, each as a record."""
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
            yield line, dict(zip(columns, row, strict=True))


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
