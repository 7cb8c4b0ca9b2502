"""One record of a run log from the JSON object of its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from kis_plugin.errors import Problem
from kis_plugin.run.log_files.records import RECORDS, SCHEMA, End, Record, Retention, Run

__all__ = ["RENAMED", "parse_record"]

RENAMED: Mapping[str, Mapping[str, str]] = {
    Run.type: {"null": "frequency_baseline"},
    Retention.type: {"floor": "frequency_baseline"},
    End.type: {"eased": "throttled", "eased_frequency": "throttled_frequency"},
}
"""Fields of schema 1 that schema 2 calls otherwise, by type of record."""
_WORDS = {"float_type": "a finite number"}


def parse_record(values: Mapping[str, Any], where: str, schema: int = SCHEMA) -> tuple[Record | None, list[Problem]]:
    """Return the record that the object of one line is, or every problem that keeps it from being one.

    Args:
        values: The object; its ``type`` is one of the record types.
        where: The line, for problems.
        schema: That of the latest run record before the line; names of schema 1 become those of schema 2.
    """
    kind = values["type"]
    return _record(RECORDS[kind], _upgraded(values, kind) if schema == 1 else values, where)


def _record(cls: type[Record], values: Mapping[str, Any], where: str) -> tuple[Record | None, list[Problem]]:
    """Build a record, or say everything that keeps it from being one."""
    from pydantic import ValidationError

    from kis_plugin.config.validate import adapter_of, expected_of

    known = {spec.name: spec for spec in fields(cls) if spec.name != "extra"}
    # A field that is null counts as left out; fields that this release does not know are kept.
    kept = {key: value for key, value in values.items() if key in known and value is not None}
    extra = {key: value for key, value in values.items() if key not in known and key != "type"}
    try:
        return adapter_of(cls).validate_python({**kept, "extra": extra}), []
    except ValidationError as error:
        found = error.errors(include_url=False)
    problems: dict[str, Problem] = {}
    for one in found:
        name = str(one["loc"][0])
        if one["type"].startswith("missing"):
            expected = f"a value: {cls.type} records carry {name!r}"
            problems.setdefault(name, Problem(f"{where} {name}", "nothing", expected))
        else:
            expected = _WORDS.get(one["type"]) or expected_of(one["type"], one.get("ctx", {}))
            problems.setdefault(name, Problem(f"{where} {name}", repr(values[name])[:60], expected))
    return None, list(problems.values())


def _upgraded(values: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return a record of schema 1 with the names of schema 2."""
    renamed = RENAMED.get(kind, {})
    return {renamed.get(key, key): value for key, value in values.items()}
