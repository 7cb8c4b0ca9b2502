"""Reads ``from`` and ``until``: the part of the run in which an entry holds, as fractions of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kis_plugin.config.rules import number_hint
from kis_plugin.knowledge.sources.text_files import Problems, quoted

__all__ = ["FROM", "UNTIL", "VALIDITY", "given", "validity_of"]

FROM, UNTIL = VALIDITY = ("from", "until")


def given(record: Mapping[str, Any], key: str, table: bool = False) -> Any:
    """Return the value of an optional key; None for ``null``, or for an empty cell of a table."""
    value = record.get(key)
    return None if table and isinstance(value, str) and not value.strip() else value


def validity_of(record: Mapping[str, Any], where: str, problems: Problems, table: bool = False) -> tuple[float, float]:
    """Return ``from`` and ``until`` of a record, by default 0 and 1, and collect problems.

    Args:
        record: A record, with or without these keys.
        where: Its file and line.
        problems: Collects errors.
        table: Whether numbers are given as text.
    """
    before = len(problems)
    start = _fraction(record, FROM, 0.0, where, problems, table)
    until = _fraction(record, UNTIL, 1.0, where, problems, table)
    if len(problems) == before and start >= until:
        problems.add(f"{where} {FROM}", f"{FROM} {start:g}, {UNTIL} {until:g}", f"{FROM} below {UNTIL}")
    return start, until


def _fraction(
    record: Mapping[str, Any], key: str, default: float, where: str, problems: Problems, table: bool
) -> float:
    value = number = given(record, key, table)
    if value is None:
        return default
    if table and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
    if isinstance(number, (int, float)) and not isinstance(number, bool) and 0 <= number <= 1:
        return float(number)
    hint = "" if table else number_hint(value)
    problems.add(f"{where} {key}", quoted(value), "a fraction of the run from 0 to 1", hint)
    return default
