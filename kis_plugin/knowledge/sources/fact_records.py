"""Facts from the records of a file: values are checked, and the part of the run in which the fact holds is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from sys import intern
from typing import Any

from kis_plugin.knowledge.facts import Fact
from kis_plugin.knowledge.sources.name_lists import name_list
from kis_plugin.knowledge.sources.rdf_terms import relation_name
from kis_plugin.knowledge.sources.text_files import Problems, quoted, record_id
from kis_plugin.knowledge.sources.unique_entries import Rule
from kis_plugin.knowledge.sources.validity_fields import FROM, UNTIL, VALIDITY, given, validity_of
from kis_plugin.storage.text_rules import ONE_LINE, is_one_line
from kis_plugin.storage.unicode_forms import canonical

__all__ = ["FACT_RULES", "NAMES", "OPTIONAL", "FactRecords"]

# Names of the parts of a fact in files. Labels take precedence over columns that may hold ids or addresses.
NAMES = {
    "subject": ("subjectLabel", "sub_label", "subject"),
    "relation": ("relation",),
    "object": ("objectLabel", "obj_label", "object"),
}
REPLACED_BY = "replaced_by"
ALIASES = ("obj_aliases", "aliases")
OPTIONAL = ("id", *VALIDITY, REPLACED_BY, *ALIASES)

_triple = attrgetter("subject", "relation", "object")


def _same_triple(fact: Fact) -> tuple[str, str, str]:
    """Return what is equal for facts that no reader can tell apart, however their letters are encoded."""
    return canonical(fact.subject), fact.relation, canonical(fact.object)


# A fact that stands twice in the file would get twice the exposures.
FACT_RULES: tuple[Rule[Fact], ...] = (
    Rule("triple", _same_triple, lambda fact: " | ".join(_triple(fact))),
    Rule("id", attrgetter("id"), attrgetter("id"), " id"),
)


@dataclass(frozen=True)
class _Shape:
    """The keys of a record."""

    subject: str
    relation: str
    object: str
    aliases: str
    changes: bool


class FactRecords:
    """Converts the records of one file to facts.

    Args:
        path: The file, for error messages.
        problems: Collects errors.
        table: Whether every value is text, numbers included, and an empty one means none, as in CSV.
        prefix: Before the ids of facts that have none in the file.
    """

    def __init__(self, path: Path, problems: Problems, table: bool = False, prefix: str = "") -> None:
        self._path = path
        self._problems = problems
        self._table = table
        self._prefix = prefix
        self._shapes: dict[tuple[str, ...], _Shape] = {}

    def facts(self, line: int, record: Mapping[str, Any]) -> tuple[Fact, ...]:
        """Return the fact of one record, followed by the one that replaces it; none if the record has problems.

        White space around a value is ignored.
        """
        names = tuple(record)
        shape = self._shapes.get(names) or self._shape(names)
        before = len(self._problems)
        subject = self._value(line, record, shape.subject)
        relation = self._value(line, record, shape.relation)
        obj = self._value(line, record, shape.object)
        name = record_id(record, f"{self._path}:{line}", self._problems) if "id" in record else ""
        aliases = self._aliases(line, record, shape.aliases) if shape.aliases else ()
        if len(self._problems) > before:
            return ()
        relation = intern(relation_name(relation))
        name = name or f"{self._prefix}{relation}:{line}"
        if shape.changes:
            return self._changing(line, record, Fact(subject, relation, obj, name, aliases=aliases))
        return (Fact(subject, relation, obj, name, 0.0, 1.0, aliases),)

    def _changing(self, line: int, record: Mapping[str, Any], fact: Fact) -> tuple[Fact, ...]:
        """Return the fact with its part of the run, and its successor, to which the record's aliases do not apply."""
        where = f"{self._path}:{line}"
        before = len(self._problems)
        start, until = validity_of(record, where, self._problems, self._table)
        newer = given(record, REPLACED_BY, self._table)
        if newer is not None:
            newer = self._value(line, record, REPLACED_BY)
            if len(self._problems) == before and until == 1:
                found = "no until" if given(record, UNTIL, self._table) is None else f"{UNTIL} 1"
                expected = f"{UNTIL}, the fraction of the run, below 1, from which on the new object holds"
                self._problems.add(f"{where} {REPLACED_BY}", found, expected)
        if len(self._problems) > before:
            return ()
        old = fact._replace(start=start, until=until)
        if newer is None:
            return (old,)
        return old, Fact(fact.subject, fact.relation, newer, f"{fact.id}:new", until, 1.0)

    def _shape(self, names: tuple[str, ...]) -> _Shape:
        parts = {part: next((name for name in known if name in names), part) for part, known in NAMES.items()}
        changes = not {FROM, UNTIL, REPLACED_BY}.isdisjoint(names)
        aliases = next((name for name in ALIASES if name in names), "")
        shape = self._shapes[names] = _Shape(**parts, aliases=aliases, changes=changes)
        return shape

    def _aliases(self, line: int, record: Mapping[str, Any], key: str) -> tuple[str, ...]:
        return name_list(record, key, f"{self._path}:{line}", self._problems, self._table)

    def _value(self, line: int, record: Mapping[str, Any], key: str) -> str:
        value = record.get(key)
        if isinstance(value, str):
            value = value.strip()
            # The quick test decides most cases; text of nothing but zero-width characters is empty.
            if value and (value.isprintable() or (is_one_line(value) and canonical(value))):
                return value
        where = f"{self._path}:{line} {key}"
        if key not in record:
            keys = ", ".join(map(repr, list(record)[:8]))
            others = NAMES[key][:-1]
            expected = f"the key {key!r}" + (f" (or {others[0]!r})" if others else "")
            self._problems.add(where, f"only the keys {keys}" if keys else "no keys", expected)
        elif not isinstance(value, str):
            hint = "Put it in quotes." if isinstance(value, (int, float)) else ""
            self._problems.add(where, quoted(value), "text", hint)
        else:
            found, expected = (quoted(value), ONE_LINE) if canonical(value) else ("an empty value", "text")
            self._problems.add(where, found, expected)
        return ""
