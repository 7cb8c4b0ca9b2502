"""Facts from tables: JSON lines, CSV and TSV with a subject, a relation and an object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kis_plugin.knowledge.facts import Fact, Knowledge
from kis_plugin.knowledge.sources.fact_records import FACT_RULES, NAMES, OPTIONAL, FactRecords
from kis_plugin.knowledge.sources.table_rows import DELIMITERS, table_rows
from kis_plugin.knowledge.sources.text_files import JSONL, Problems, first_record, kind_of, records
from kis_plugin.knowledge.sources.unique_entries import yield_unique

__all__ = ["TripleSource"]

COLUMNS = {name.lower(): name for names in NAMES.values() for name in names} | {name: name for name in OPTIONAL}
_PARTS = COLUMNS.keys() - set(OPTIONAL)


class TripleSource:
    """JSONL with subject, relation and object in each record, CSV or TSV with such columns; also .gz and .xz."""

    name = "triples"
    version = ""

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
        return yield_unique(
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
    for line, record in table_rows(path, problems, COLUMNS, NAMES) if table else records(path, problems):
        for fact in read(line, record):
            yield line, fact
