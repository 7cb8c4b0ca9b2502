"""Facts gathered from one file: each checked, none twice, each with an id of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from sys import intern
from typing import Any

from kis_plugin.knowledge import Fact
from kis_plugin.plain_text import ONE_LINE, is_one_line
from kis_plugin.sources.text_files import Problems, quoted

__all__ = ["NAMES", "FactList"]

# What a part of a fact may be called in a file; labels come before names that may hold ids or addresses.
NAMES = {
    "subject": ("subjectLabel", "sub_label", "subject"),
    "relation": ("relation",),
    "object": ("objectLabel", "obj_label", "object"),
}
WIKIDATA_PROPERTY = "http://www.wikidata.org/prop/direct/"


class FactList:
    """The facts of one file.

    Args:
        path: The file, for errors.
        problems: Where errors go.
    """

    def __init__(self, path: Path, problems: Problems) -> None:
        self.facts: list[Fact] = []
        self._path = path
        self._problems = problems
        self._keys: dict[tuple[str, ...], list[str]] = {}
        self._line_of_triple: dict[tuple[str, str, str], int] = {}
        self._line_of_id: dict[str, int] = {}

    def add(self, line: int, record: Mapping[str, Any]) -> None:
        """Add the fact of one record, or say what is wrong with it. White space around a value does not count."""
        shape = tuple(record)
        if shape not in self._keys:
            self._keys[shape] = [
                next((name for name in names if name in record), part) for part, names in NAMES.items()
            ]
        before = len(self._problems)
        subject, relation, obj = [self._value(line, record, key) for key in self._keys[shape]]
        given = record.get("id")
        if given is not None and (not isinstance(given, (str, int)) or isinstance(given, bool)):
            self._problems.add(f"{self._path}:{line} id", quoted(given), "text or a whole number")
        if len(self._problems) > before:
            return
        relation = intern(relation.removeprefix(WIKIDATA_PROPERTY) or relation)
        name = str(given).strip() if given is not None else ""
        fact = Fact(subject, relation, obj, name or f"{relation}:{line}")
        if self._is_new(line, fact):
            self.facts.append(fact)

    def _value(self, line: int, record: Mapping[str, Any], key: str) -> str:
        value = record.get(key)
        if isinstance(value, str):
            value = value.strip()
            if value and is_one_line(value):
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
            found, expected = (quoted(value), ONE_LINE) if value else ("an empty value", "text")
            self._problems.add(where, found, expected)
        return ""

    def _is_new(self, line: int, fact: Fact) -> bool:
        """Return whether neither triple nor id was there before: twice in the file is twice the exposures."""
        triple = (fact.subject, fact.relation, fact.object)
        first = self._line_of_triple.setdefault(triple, line)
        if first != line:
            found = f"{quoted(' | '.join(triple))} a second time"
            self._problems.add(f"{self._path}:{line}", found, f"each triple once; the first is in line {first}")
            return False
        first = self._line_of_id.setdefault(fact.id, line)
        if first != line:
            found = f"{quoted(fact.id)} a second time"
            self._problems.add(f"{self._path}:{line} id", found, f"each id once; the first is in line {first}")
        return first == line
