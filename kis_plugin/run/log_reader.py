"""Reads a run log back: every line that is no record is found at once, a torn one is only a warning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.records import RECORDS, SCHEMA, End, Guard, Loss, Record, Retention, Run
from kis_plugin.storage.regular_files import refuse_special_file

__all__ = [
    "RENAMED",
    "DamagedLogError",
    "EmptyLogError",
    "RunLog",
    "newer_schema",
    "parse_record",
    "read_run_log",
    "refuse_undecoded",
]

RENAMED: Mapping[str, Mapping[str, str]] = {
    Run.type: {"null": "frequency_baseline"},
    Retention.type: {"floor": "frequency_baseline"},
    End.type: {"eased": "throttled", "eased_frequency": "throttled_frequency"},
}
"""Fields of schema 1 that schema 2 calls otherwise, by type of record."""
_WORDS = {"float_type": "a finite number"}


@dataclass(frozen=True)
class RunLog:
    """One run as read back.

    Attributes:
        path: The file it came from.
        run: Its first record.
        retention: Every retention record, in file order; after a resume a step can come twice, the later one counts.
        loss: Every loss record, likewise.
        guard: Every verdict of the guard, likewise.
        end: The last record, or None while the run is unfinished.
        warnings: What was odd about the file, one line each.
    """

    path: Path
    run: Run
    retention: tuple[Retention, ...]
    loss: tuple[Loss, ...]
    end: End | None
    warnings: tuple[str, ...] = ()
    guard: tuple[Guard, ...] = ()


class EmptyLogError(KISError):
    """A run log without one whole line: its run was killed while the first was written."""


class DamagedLogError(KISError):
    """A run log with lines that are no records, or with the records of several runs."""


_SHOWN = 20  # problems of one file


def read_run_log(path: Path) -> RunLog:
    """Read one run log.

    Args:
        path: A ``kis.jsonl`` file.

    Raises:
        EmptyLogError: The file is empty, or torn in its first line.
        DamagedLogError: A line that is no record (not JSON, a missing key, a value of the wrong kind), or no run
            record; the first 20 such lines at once. A line that a killed run left torn, the last one or one before a
            resumed run's record, is only a warning.
        KISError: The file cannot be read, or a later release wrote it.
    """
    records, problems, warnings, lines = _records(path)
    runs = [record for record in records if isinstance(record, Run)]
    if not problems and not runs:
        hint = "Take the folders of runs that never began out of the sweep."
        problems.append(Problem(str(path), "no record of type 'run'", "one as the first line", hint))
    if newer := [problem for run in runs for problem in newer_schema(path, run)][:1]:
        raise KISError(problems + newer)
    problems += _other_runs(path, runs)
    if len(problems) > _SHOWN:
        more = Problem(str(path), f"{len(problems) - _SHOWN:,} more problems", "a run log, one JSON object a line")
        problems = [*problems[:_SHOWN], more]
    if problems:
        raise (EmptyLogError if len(warnings) == lines else DamagedLogError)(problems)
    ends = [record for record in records if isinstance(record, End)]
    return RunLog(
        path=path,
        run=runs[0],
        retention=tuple(record for record in records if isinstance(record, Retention)),
        loss=tuple(record for record in records if isinstance(record, Loss)),
        end=ends[-1] if ends else None,
        warnings=tuple(warnings),
        guard=tuple(record for record in records if isinstance(record, Guard)),
    )


def _records(path: Path) -> tuple[list[Record], list[Problem], list[str], int]:
    """Return the records of a file, what is wrong with it, what is odd about it, and how many lines it has."""
    problems: list[Problem] = []
    warnings: list[str] = []
    records: list[Record] = []
    whole = _text(path).split("\n")
    lines = [(number, text) for number, text in enumerate(whole, start=1) if text.strip()]
    parsed = [_parsed(text) for _, text in lines]
    schema = SCHEMA
    for at, (number, text) in enumerate(lines):
        where, values = f"{path}:{number}", parsed[at]
        if isinstance(values, Exception):
            last = number == len(whole)
            if last or (at + 1 < len(lines) and _kind(parsed[at + 1]) == Run.type):
                place = "last line" if last else "line"
                warnings.append(f"{where}: {place} is torn ({len(text)} characters) and was left out")
            else:
                problems.append(Problem(where, f"a line that is not JSON ({values})", "one JSON object"))
        elif (kind := _kind(values)) is None:
            problems.append(Problem(where, f"{text.strip()[:60]!r}", 'a JSON object with a "type"'))
        elif kind in RECORDS:
            if kind == Run.type:
                schema = values.get("schema", SCHEMA)  # a resumed run may go on in a later format
            record, wrong = parse_record(values, where, schema)
            problems += wrong
            records += [record] if record else []
    return records, problems, warnings, len(lines)


def _upgraded(values: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return a record of schema 1 with the names of schema 2."""
    renamed = RENAMED.get(kind, {})
    return {renamed.get(key, key): value for key, value in values.items()}


def _other_runs(path: Path, runs: list[Run]) -> list[Problem]:
    """Say where one file holds several runs."""
    return [
        Problem(f"{path} {name}", f"{getattr(run, name)} in a second run record", f"{getattr(runs[0], name)} as before")
        for run in runs[1:]
        for name in ("params", "tokens", "frequency", "facts", "options", "seed")
        if getattr(run, name) != getattr(runs[0], name)
    ]


def newer_schema(path: Path, run: Run) -> list[Problem]:
    """Return the problem of a log that a later release wrote, if it is one."""
    if run.schema <= SCHEMA:
        return []
    hint = "It was written by a newer KIS: update this one."
    return [Problem(f"{path} schema", f"{run.schema}", f"{SCHEMA} or less", hint)]


def parse_record(values: Mapping[str, Any], where: str, schema: int = SCHEMA) -> tuple[Record | None, list[Problem]]:
    """Return the record that the object of one line is, or every problem that keeps it from being one.

    Args:
        values: The object; its ``type`` is one of the record types.
        where: The line, for problems.
        schema: That of the latest run record before the line; names of schema 1 become those of schema 2.
    """
    kind = values["type"]
    return _record(RECORDS[kind], _upgraded(values, kind) if schema == 1 else values, where)


def refuse_undecoded(text: str) -> None:
    """Refuse a line that was read with ``surrogateescape`` from bytes that are not UTF-8: a damaged key is another key.

    Raises:
        ValueError: It has such bytes.
    """
    if not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text):
        raise ValueError("bytes that are not UTF-8")


def _parsed(text: str) -> Any:
    try:
        refuse_undecoded(text)
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return error


def _kind(values: Any) -> str | None:
    kind = values.get("type") if isinstance(values, dict) else None
    return kind if isinstance(kind, str) else None


def _text(path: Path) -> str:
    try:
        refuse_special_file(path)
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise KISError(Problem(str(path), str(error.strerror or error), "a readable run log")) from error


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
