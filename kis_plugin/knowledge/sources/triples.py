"""Facts from tables of every kind, with a subject, a relation and an object in each record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kis_plugin.knowledge.facts import Fact
from kis_plugin.knowledge.sources.document_records import is_document
from kis_plugin.knowledge.sources.fact_file import FactFileSource
from kis_plugin.knowledge.sources.fact_records import NAMES, OPTIONAL, FactRecords
from kis_plugin.knowledge.sources.record_files import Columns, any_records, first_record, record_kind
from kis_plugin.knowledge.sources.table_rows import DELIMITERS
from kis_plugin.knowledge.sources.text_files import Problems, kind_of

__all__ = ["TripleSource"]

COLUMNS = {name.lower(): name for names in NAMES.values() for name in names} | {name: name for name in OPTIONAL}
_PARTS = COLUMNS.keys() - set(OPTIONAL)
_LABEL = "Label"  # the service of labels in Wikidata queries puts the label of ?item into ?itemLabel


class TripleSource(FactFileSource):
    """JSONL, JSON, CSV, TSV, Parquet or a saved dataset with subject, relation and object in each record.

    Args:
        columns: The column of each part where they have other names: ``{"subject": "head", "object": "tail"}``.
    """

    name = "triples"
    nothing = ("no facts", "a subject, a relation and an object in each record")

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        self.columns = dict(columns or {})

    @property
    def version(self) -> str:
        """The mapping of columns, on which the facts of a file depend."""
        return json.dumps(self.columns, sort_keys=True) if self.columns else ""

    def claims(self, path: Path) -> bool:
        """Return whether this is a table, or records of which the first has a part of a fact or cannot be read."""
        if record_kind(path) is None:
            return False
        if self.columns:
            return True
        record = first_record(path)
        if record is None or not _PARTS.isdisjoint(key.lower() for key in record):
            return True
        return kind_of(path) in DELIMITERS and not is_document(record)  # a table of other columns: they may be mapped

    def entries(self, path: Path, problems: Problems, prefix: str = "") -> Iterator[tuple[int, Fact]]:
        """Yield each fact with its line, repeated ones too."""
        kind = record_kind(path)
        read = FactRecords(path, problems, table=kind is not None and kind.table, prefix=prefix).facts
        for line, record in any_records(path, problems, self._known()):
            for fact in read(line, self._renamed(record)):
                yield line, fact

    def _known(self) -> Columns:
        if not self.columns:
            return Columns(COLUMNS, NAMES)
        needed = {part: (self.columns.get(part, part), f"{self.columns.get(part, part)}{_LABEL}") for part in NAMES}
        return Columns({name: name for name in OPTIONAL}, needed)

    def _renamed(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the record with the columns of the mapping under the names of their parts, labels before addresses."""
        if not self.columns:
            return record
        renamed = dict(record)
        for part, column in self.columns.items():
            value = renamed.pop(column, None)
            label = renamed.pop(f"{column}{_LABEL}", None)
            if (value, label) != (None, None):
                renamed[part] = label or value
        return renamed
