"""The run log: what a training run writes, line by line, and what ``kis-predict`` reads.

``runs/<run id>/kis.jsonl`` is UTF-8, one JSON object a line, append-only, flushed line by line. Anyone's training
loop can write it. Records a reader does not know are skipped, keys it does not know are kept in ``extra``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from kis_plugin.errors import KISError, Problem

__all__ = [
    "GENERAL", "LOG_NAME", "SCHEMA", "EmptyLogError", "End", "Guard", "Loss", "Record", "Retention", "Run", "RunLog",
    "RunLogWriter", "Status", "newer_schema", "parse_record", "read_run_log",
]  # fmt: skip

LOG_NAME = "kis.jsonl"
SCHEMA = 1
GENERAL = "general"
"""The split of loss that KIS measures itself, on ``retention.general_text``."""

Extra = Mapping[str, Any]
Status = Literal["completed", "stopped", "diverged", "failed"]
"""How a run ended."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The first line: what was run. One log may hold it again after a resume; the first counts."""

    type: ClassVar[str] = "run"
    run_id: str
    """Name of the run, and of its folder."""
    params: int
    """Model size N: all parameters, tied ones once."""
    tokens: int
    """Token budget D: training tokens of the whole run, infused ones included."""
    frequency: float
    """Infusion frequency F: exposures per fact in the whole run. 0 for an uninfused run."""
    params_non_embedding: int | None = None
    """Parameters without the embeddings."""
    framework: str = ""
    """What trained it: ``hf``, ``litgpt``, ``torch``, or another."""
    facts: int | None = None
    """Number of facts, or of passages, that the run infuses."""
    tokens_per_fact: float | None = None
    """Mean tokens of one exposure, its separator included."""
    infused_tokens: int | None = None
    """Tokens of infused texts in the whole run, separators included."""
    share: float | None = None
    """Infused tokens / D."""
    options: int | None = None
    """Options of a multiple-choice probe; chance is 1 / options."""
    seed: int | None = None
    """Seed of the configuration."""
    schedule_hash: str = ""
    """Fingerprint of the plan: runs with the same one infuse the same texts into the same rows."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of KIS and of the libraries used, by name."""
    schema: int = SCHEMA
    """Version of the log's format."""
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Accuracy of one probe series at one step."""

    type: ClassVar[str] = "retention"
    step: int
    """Optimizer steps done."""
    tokens: int
    """Training tokens seen so far."""
    probe: str
    """The series: ``held_out`` is retention proper, ``seen`` and ``control`` go beside it."""
    accuracy: float
    """Correct answers / questions."""
    n: int
    """Number of probes behind ``accuracy``."""
    independent: float | None = None
    """Number of independent probes that carry as much information, where facts are probed by several templates; ``n``
    if missing."""
    correct: int | None = None
    """Number of correct answers."""
    margin: float | None = None
    """Mean log-probability of the right option minus that of the best wrong one, in nats."""
    bits_per_byte: float | None = None
    """Mean bits per byte of the right option's text."""
    seconds: float | None = None
    """Wall time of the whole evaluation that this series was part of."""
    extra: Extra = field(default_factory=dict)

    @property
    def worth(self) -> int:
        """How many independent probes ``accuracy`` is taken to rest on; 1 or more."""
        return self.n if self.independent is None else max(1, min(self.n, round(self.independent)))


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Mean loss on general text, in nats per token.

    ``split`` says whose text: the host's own, as ``eval`` or ``val``, or ``general`` for ``retention.general_text``.
    """

    type: ClassVar[str] = "loss"
    step: int
    """Optimizer steps done."""
    tokens: int
    """Training tokens seen so far."""
    split: str
    """Whose text: ``eval`` or ``val`` for the host's own, ``general`` for ``retention.general_text``."""
    loss: float
    """Mean loss, in nats per token."""
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What the guard found at one evaluation, and what it did. Readers may skip it."""

    type: ClassVar[str] = "guard"
    step: int
    """Optimizer steps done."""
    tokens: int
    """Training tokens seen so far."""
    verdict: str
    """``steady``; ``falling``: held-out retention fell, but not yet in enough evaluations in a row; ``forgetting``:
    seen retention fell too; ``collapse``; ``loss``: general loss is above its limit."""
    action: str | None = None
    """What was done about it at this step; missing for nothing."""
    best_step: int | None = None
    """The step of the best evaluation so far, with which this one was compared."""
    n: int | None = None
    """Held-out questions that were asked at both evaluations."""
    lost: int | None = None
    """Facts answered right at the best evaluation and wrong now."""
    gained: int | None = None
    """Facts answered wrong at the best evaluation and right now."""
    p_value: float | None = None
    """Of the one-sided sign test of lost against gained."""
    level: float | None = None
    """The fall is significant if ``p_value`` is at most this."""
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class End:
    """The last line: how the run ended and what the model was really shown."""

    type: ClassVar[str] = "end"
    status: Status
    """``diverged``: logits or a loss became NaN or infinite, whatever step the run reached."""
    """How the run ended."""
    step: int
    """Optimizer steps done."""
    tokens: int
    """Training tokens seen."""
    achieved_frequency: Mapping[str, float] | None = None
    """``min``, ``max`` and ``mean`` exposures per fact, counted from what the model was given."""
    extra: Extra = field(default_factory=dict)


Record = Run | Retention | Loss | Guard | End
RECORDS: dict[str, type[Run] | type[Retention] | type[Loss] | type[Guard] | type[End]] = {
    cls.type: cls for cls in (Run, Retention, Loss, Guard, End)
}
STATUSES: tuple[str, ...] = get_args(Status)
_COUNTS = {"params", "tokens", "frequency", "params_non_embedding", "facts", "infused_tokens", "step", "n", "correct"}
_INTEGERS = {"int", "int | None"}
_NUMBERS = {"float", "float | None"} | _INTEGERS


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


class RunLogWriter:
    """Appends records to ``<folder>/kis.jsonl``; each line is flushed before ``write`` returns.

    Args:
        folder: The run's own folder, made if missing. A torn last line left by a killed run is taken away first.

    Raises:
        KISError: The folder cannot be made, or nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                _mend_last_line(self.path)
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            expected = "a run log that can be written"
            raise KISError(Problem(str(error.filename or self.path), str(error.strerror or error), expected)) from error

    def write(self, record: Record) -> None:
        """Append one record and flush it."""
        values = {"type": record.type, **asdict(record)}
        values |= values.pop("extra")
        kept = {key: value for key, value in values.items() if value is not None}
        self._file.write(json.dumps(kept, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        self._file.close()


def _mend_last_line(path: Path) -> None:
    """End a last line that lacks nothing but its end; take away one that a killed run left torn."""
    whole, _, last = path.read_bytes().rpartition(b"\n")
    if not last:
        return
    try:
        json.loads(last)
    except ValueError:
        os.truncate(path, len(whole) + 1 if whole else 0)
    else:
        with path.open("ab") as file:
            file.write(b"\n")


def read_run_log(path: Path) -> RunLog:
    """Read one run log.

    Args:
        path: A ``kis.jsonl`` file.

    Raises:
        EmptyLogError: The file is empty, or torn in its first line.
        KISError: A line that is no record (not JSON, a missing key, a value of the wrong kind), or no run record; all
            such lines at once. A line that a killed run left torn, the last one or one before a resumed run's record,
            is only a warning.
    """
    problems: list[Problem] = []
    warnings: list[str] = []
    records: list[Record] = []
    whole = _text(path).split("\n")
    lines = [(number, text) for number, text in enumerate(whole, start=1) if text.strip()]
    parsed = [_parsed(text) for _, text in lines]
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
            record, wrong = _record(RECORDS[kind], values, where)
            problems += wrong
            records += [record] if record else []
    runs = [record for record in records if isinstance(record, Run)]
    if not problems and not runs:
        hint = "Take the folders of runs that never began out of the sweep."
        problems.append(Problem(str(path), "no record of type 'run'", "one as the first line", hint))
    problems += _other_runs(path, runs)
    if problems:
        raise (EmptyLogError if len(warnings) == len(lines) else KISError)(problems)
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


def _other_runs(path: Path, runs: list[Run]) -> list[Problem]:
    """Say where one file holds several runs, or one that this release cannot know how to read."""
    problems = [
        Problem(f"{path} {name}", f"{getattr(run, name)} in a second run record", f"{getattr(runs[0], name)} as before")
        for run in runs[1:]
        for name in ("params", "tokens", "frequency", "facts", "options", "seed")
        if getattr(run, name) != getattr(runs[0], name)
    ]
    newer = [problem for run in runs for problem in newer_schema(path, run)]
    return problems + newer[:1]


def newer_schema(path: Path, run: Run) -> list[Problem]:
    """Return the problem of a log that a later release wrote, if it is one."""
    if run.schema <= SCHEMA:
        return []
    hint = "It was written by a newer KIS: update this one."
    return [Problem(f"{path} schema", f"{run.schema}", f"{SCHEMA} or less", hint)]


def parse_record(values: Mapping[str, Any], where: str) -> tuple[Record | None, list[Problem]]:
    """Return the record that the object of one line is, or every problem that keeps it from being one.

    Args:
        values: The object; its ``type`` is one of the record types.
        where: The line, for problems.
    """
    return _record(RECORDS[values["type"]], values, where)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return error


def _kind(values: Any) -> str | None:
    kind = values.get("type") if isinstance(values, dict) else None
    return kind if isinstance(kind, str) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise KISError(Problem(str(path), str(error.strerror or error), "a readable run log")) from error


def _record(
    cls: type[Run | Retention | Loss | Guard | End], values: Mapping[str, Any], where: str
) -> tuple[Record | None, list[Problem]]:
    """Build a record, or say everything that keeps it from being one."""
    problems: list[Problem] = []
    known = {f.name: f for f in fields(cls) if f.name != "extra"}
    kept: dict[str, Any] = {}
    for name, spec in known.items():
        value = values.get(name)
        required = spec.default is MISSING and spec.default_factory is MISSING
        if value is None:
            if required:
                problems.append(Problem(f"{where} {name}", "nothing", f"a value: {cls.type} records carry {name!r}"))
            continue
        wrong = _wrong_kind(name, str(spec.type), value)
        if wrong:
            problems.append(Problem(f"{where} {name}", repr(value)[:60], wrong))
        else:
            kept[name] = value
    if problems:
        return None, problems
    extra = {key: value for key, value in values.items() if key not in known and key != "type"}
    return cls(**kept, extra=extra), []


def _wrong_kind(name: str, annotation: str, value: object) -> str:
    """Return what was expected, or an empty string if ``value`` fits the annotation."""
    if annotation in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
            return "a finite number"
        if annotation in _INTEGERS and value != int(value):
            return "a whole number"
        if value < 0 and name in _COUNTS:
            return "a number that is not negative"
    elif annotation == "str" and not isinstance(value, str):
        return "text"
    elif annotation.startswith("Mapping") and not isinstance(value, dict):
        return "an object"
    elif annotation == "Status" and value not in STATUSES:
        return f"one of {', '.join(STATUSES)}"
    return ""
