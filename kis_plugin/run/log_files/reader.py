"""Reads a run log back: every line that is no record is found at once, a torn one is only a warning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.log_files.course import SKIMMED, Course
from kis_plugin.run.log_files.lines import LogLines
from kis_plugin.run.log_files.parse import parse_record
from kis_plugin.run.log_files.records import RECORDS, SCHEMA, End, Guard, Loss, Record, Retention, Run
from kis_plugin.storage.regular_files import refuse_special_file

__all__ = ["DamagedLogError", "EmptyLogError", "RunLog", "newer_schema", "read_course", "read_run_log"]


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
        path: A ``kis.jsonl`` file, compressed or not.

    Raises:
        EmptyLogError: The file is empty, or torn in its first line.
        DamagedLogError: A line that is no record (not JSON, a missing key, a value of the wrong kind), or no run
            record; the first 20 such lines at once. A line that a killed run left torn, the last one or one before a
            resumed run's record, is only a warning.
        KISError: The file cannot be read, a line of it is too long, or a later release wrote it.
    """
    return _read(path, LogLines(path), _Everything(path))


def read_course(path: Path) -> RunLog:
    """Read what a summary of a run needs, in bounded memory: whole series, and of a step the later record.

    Series by relation, domain or template are left out. Beyond 50,000 records, steps are thinned out evenly; the first,
    the last and the best of each series stay, and a warning says so. Beyond the first 16 MB, records that are left out
    are not checked.

    Args:
        path: A ``kis.jsonl`` file, compressed or not.

    Raises:
        EmptyLogError, DamagedLogError, KISError: As :func:`read_run_log`.
    """
    course = Course(path)
    return _read(path, LogLines(path, course.skim, SKIMMED), course)


class _Everything:
    """Keeps all records."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.records: list[Record] = []
        self.warnings: list[str] = []
        self.schema = SCHEMA

    def take(self, number: int, values: Mapping[str, Any]) -> list[Problem]:
        record, problems = parse_record(values, f"{self._path}:{number}", self.schema)
        self.records += [record] if record else []
        return problems

    def finish(self) -> list[Problem]:
        return []


def _read(path: Path, lines: LogLines, kept: _Everything | Course) -> RunLog:
    run: Run | None = None
    end: End | None = None
    other: list[Problem] = []
    newer: list[Problem] = []
    _refuse_unreadable(path)
    try:
        for number, values in lines:
            kind = values["type"]
            if kind not in RECORDS:
                continue
            if kind == Run.type:
                kept.schema = values.get("schema", SCHEMA)  # a resumed run may go on in a later format
            if kind not in (Run.type, End.type):
                lines.problems += kept.take(number, values)
                continue
            record, problems = parse_record(values, lines.where(number), kept.schema)
            lines.problems += problems
            if isinstance(record, Run):
                run = run or record
                newer = newer or newer_schema(path, record)
                other += _other_run(path, run, record) if len(other) <= _SHOWN else []
            elif isinstance(record, End):
                end = record
    except OSError as error:
        raise KISError(Problem(str(path), str(error.strerror or error), "a readable run log")) from error
    except KISError as error:
        raise DamagedLogError(error.problems) from error
    problems = lines.problems + kept.finish()
    if not problems and run is None:
        hint = "Take the folders of runs that never began out of the sweep."
        problems.append(Problem(str(path), "no record of type 'run'", "one as the first line", hint))
    if newer:
        raise KISError(problems[:_SHOWN] + newer)
    problems += other
    if len(problems) > _SHOWN:
        more = Problem(str(path), f"{len(problems) - _SHOWN:,} more problems", "a run log, one JSON object a line")
        problems = [*problems[:_SHOWN], more]
    if problems:
        raise (EmptyLogError if lines.only_torn else DamagedLogError)(problems)
    assert run is not None
    return RunLog(
        path=path,
        run=run,
        retention=tuple(record for record in kept.records if isinstance(record, Retention)),
        loss=tuple(record for record in kept.records if isinstance(record, Loss)),
        end=end,
        warnings=(*lines.warnings, *kept.warnings),
        guard=tuple(record for record in kept.records if isinstance(record, Guard)),
    )


def _refuse_unreadable(path: Path) -> None:
    try:
        refuse_special_file(path)
    except OSError as error:
        raise KISError(Problem(str(path), str(error.strerror or error), "a readable run log")) from error


def _other_run(path: Path, first: Run, run: Run) -> list[Problem]:
    """Say where one file holds several runs."""
    return [
        Problem(f"{path} {name}", f"{getattr(run, name)} in a second run record", f"{getattr(first, name)} as before")
        for name in ("params", "tokens", "frequency", "facts", "options", "seed")
        if getattr(run, name) != getattr(first, name)
    ]


def newer_schema(path: Path, run: Run) -> list[Problem]:
    """Return the problem of a log that a later release wrote, if it is one."""
    if run.schema <= SCHEMA:
        return []
    hint = "It was written by a newer KIS: update this one."
    return [Problem(f"{path} schema", f"{run.schema}", f"{SCHEMA} or less", hint)]
