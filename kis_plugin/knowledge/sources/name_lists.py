"""Lists of names in a record: a list of text in JSON lines, separated by ``|`` in a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kis_plugin.knowledge.sources.text_files import Problems, quoted
from kis_plugin.knowledge.sources.validity_fields import given
from kis_plugin.storage.text_rules import ONE_LINE, is_one_line

__all__ = ["SEPARATOR", "name_list"]

SEPARATOR = "|"


def name_list(
    record: Mapping[str, Any], key: str, where: str, problems: Problems, table: bool = False
) -> tuple[str, ...]:
    """Return the names that a record lists under an optional key, each once, and collect problems.

    White space around a name is ignored.

    Args:
        record: A record.
        key: The key, which it may lack.
        where: The record's file and line.
        problems: Collects errors.
        table: Whether the list is one text, separated by ``|``.
    """
    listed = given(record, key, table)
    if listed is None:
        return ()
    if table and isinstance(listed, str):
        listed = listed.split(SEPARATOR)
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        problems.add(f"{where} {key}", quoted(listed), "a list of text")
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in listed))
    for name in names:
        if not name:
            problems.add(f"{where} {key}", "an empty name", "text")
        elif not is_one_line(name):
            problems.add(f"{where} {key}", quoted(name), ONE_LINE)
    return names
