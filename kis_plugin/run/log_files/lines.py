"""The lines of a run log as JSON objects, in one pass: memory does not grow with the length of the log.

Thousands of lines are parsed by one call of the JSON parser. Records whose values have the right types are plain; any
other one goes through the schema's own check, which names what is wrong with it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from kis_plugin.errors import Problem
from kis_plugin.run.log_files.records import Guard, Loss, Retention, Run
from kis_plugin.storage.text_lines import line_blocks

__all__ = ["LogLines", "is_plain", "parse_line", "refuse_undecoded"]

_MOST_PROBLEMS = 1000
_MOST_WARNINGS = 100
_SEPARATOR = f'"{secrets.token_hex(8)}"'
"""Stands between the lines of a block: a log cannot contain it, so each line is known to be one value of its own."""


class LogLines:
    """Iterates over the objects of a run log, with the numbers of their lines.

    Args:
        path: The log, plain or compressed.
        skim: Called with the number and the text of a line far from the start; one that returns True has taken care of
            the line, which is then not parsed.
        beyond: After how many characters lines are skimmed.

    Attributes:
        problems: What is no record, by its line; reading stops after a thousand.
        warnings: Lines that a killed run left torn: the last one, or one before a resumed run's record.
        only_torn: Whether there is no other line.
    """

    def __init__(self, path: Path, skim: Callable[[int, str], bool] | None = None, beyond: int = 0) -> None:
        self._path, self._skim, self._beyond = path, skim, beyond
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.only_torn = True
        self._torn: tuple[int, int, str] | None = None  # number, characters, why; it waits for its successor
        self._more_torn = 0

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield number and object of each line that is one with a type.

        Raises:
            KISError: A line that is too long, a file that is damaged or too large.
            OSError: It cannot be read.
        """
        ends_open, characters = False, 0
        for first, lines, open_end in line_blocks(self._path, errors="surrogateescape"):
            ends_open = open_end
            skims = self._skim is not None and characters > self._beyond and not open_end
            characters += sum(map(len, lines))
            values = None if skims else _parsed_together(lines)
            for at, text in enumerate(lines):
                if skims and self._skim and self._torn is None and self._skim(first + at, text):
                    self.only_torn = False
                    continue
                value = parse_line(text) if values is None else values[at]
                if value is not None and self._is_object(first + at, text, value):
                    yield first + at, value
            if len(self.problems) > _MOST_PROBLEMS:
                break
        if self._torn:
            self._settle_torn(False, last=ends_open)
        if self._more_torn:
            self.warnings.append(f"{self._path}: {self._more_torn:,} more torn lines were left out")

    def where(self, number: int) -> str:
        """Return what a problem calls a line."""
        return f"{self._path}:{number}"

    def _is_object(self, number: int, text: str, value: Any) -> bool:
        kind = value.get("type") if isinstance(value, dict) else None
        if self._torn:
            self._settle_torn(kind == Run.type)
        if isinstance(value, Exception):
            self._torn = (number, len(text), str(value))
            return False
        self.only_torn = False
        if not isinstance(kind, str):
            found = f"{text.strip()[:60]!r}"
            self.problems.append(Problem(self.where(number), found, 'a JSON object with a "type"'))
            return False
        return True

    def _settle_torn(self, resumed: bool, last: bool = False) -> None:
        assert self._torn
        number, characters, why = self._torn
        where, self._torn = self.where(number), None
        if not (resumed or last):
            self.only_torn = False
            self.problems.append(Problem(where, f"a line that is not JSON ({why})", "one JSON object"))
        elif len(self.warnings) < _MOST_WARNINGS:
            place = "last line" if last else "line"
            self.warnings.append(f"{where}: {place} is torn ({characters} characters) and was left out")
        else:
            self._more_torn += 1


def refuse_undecoded(text: str) -> None:
    """Refuse a line that was read with ``surrogateescape`` from bytes that are not UTF-8: a damaged key is another key.

    Raises:
        ValueError: It has such bytes.
    """
    if not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text):
        raise ValueError("bytes that are not UTF-8")


def parse_line(text: str) -> Any:
    """Return the value of a line, None for an empty one, and the exception of one that is not JSON."""
    if not text.strip():
        return None
    try:
        refuse_undecoded(text)
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return error
    return "null" if value is None else value


def _parsed_together(lines: list[str]) -> list[Any] | None:
    """Return the values of lines by one call of the parser; None if one of them is empty or not one value."""
    try:
        for line in lines:
            refuse_undecoded(line)
        values = json.loads(f"[{f',{_SEPARATOR},'.join(lines)}]")
    except (ValueError, RecursionError):
        return None
    apart = values[1::2]
    if len(values) != 2 * len(lines) - 1 or apart.count(_SEPARATOR[1:-1]) != len(apart):
        return None
    return values[::2]  # type: ignore[no-any-return]


def is_plain(values: Mapping[str, Any]) -> bool:
    """Return whether the values of a retention, loss or guard record are of the types that its fields have."""
    types = _PLAIN.get(values["type"])
    return types is not None and all(type(values.get(name)) in allowed for name, allowed in types)


def _plain_types(kind: type) -> Iterator[tuple[str, frozenset[type]]]:
    """Yield the fields of a record that hold numbers or text, with the types that JSON gives them."""
    for name, hint in get_type_hints(kind).items():
        options = get_args(hint) or (hint,)
        if all(option in _TYPES for option in options):
            yield name, frozenset[type]().union(*(_TYPES[option] for option in options))


_TYPES: Mapping[Any, frozenset[type]] = {
    int: frozenset({int}),
    float: frozenset({int, float}),
    str: frozenset({str}),
    type(None): frozenset({type(None)}),
}
_PLAIN: Mapping[str, tuple[tuple[str, frozenset[type]], ...]] = {
    kind.type: tuple(_plain_types(kind)) for kind in (Retention, Loss, Guard)
}
"""The types that the values of a record plainly in order have, by field; bool is no int here."""
