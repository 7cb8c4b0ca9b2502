"""The built-in log readers: KIS run logs and CSV tables."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from kis_plugin.errors import KISError, Problem, nearest
from kis_plugin.runlog import LOG_NAME, RunLog, read_run_log
from kis_predict.observed import ObservedRun

__all__ = ["CSVReader", "ObservedRun", "RunLogReader"]


class RunLogReader:
    """Reads ``kis.jsonl``, one run a file."""

    name = "run log"

    def claims(self, path: Path) -> bool:
        """Return whether it is a file called ``kis.jsonl``."""
        return path.name == LOG_NAME and path.is_file()

    def read(self, path: Path) -> list[ObservedRun]:
        """Return the run; its retention is the last held-out record.

        Raises:
            KISError: Lines that are no records, or numbers that no run can have; all of them.
        """
        log = read_run_log(path)
        run = log.run
        if run.options is not None and run.options < 2:
            raise KISError(Problem(f"{path} options", f"{run.options}", "2 options or more"))
        held_out = [record for record in log.retention if record.probe == "held_out"]
        losses = [record.loss for record in log.loss]
        observed = ObservedRun(
            source=str(path),
            params=run.params,
            tokens=run.tokens,
            frequency=float(run.frequency),
            retention=float(held_out[-1].accuracy) if held_out else None,
            status=log.end.status if log.end else "unfinished",
            n=held_out[-1].n if held_out else None,
            chance=1 / run.options if run.options else None,
            facts=run.facts,
            tokens_per_fact=run.tokens_per_fact,
            share=_share(run.share, run.infused_tokens, run.tokens),
            seed=run.seed,
            schedule_hash=run.schedule_hash,
            loss=losses[-1] if losses else None,
            warnings=log.warnings + _stale(log),
        )
        problems = [
            Problem(f"{path} {key}", repr(getattr(observed, key)), expected) for key, expected in _impossible(observed)
        ]
        if problems:
            raise KISError(problems)
        return [observed]


def _share(share: float | None, infused_tokens: int | None, tokens: int) -> float | None:
    if share is not None or infused_tokens is None or tokens <= 0:
        return share
    return infused_tokens / tokens


def _stale(log: RunLog) -> tuple[str, ...]:
    """Return a warning if retention was last measured well before the run ended."""
    steps = [record.step for record in log.retention if record.probe == "held_out"]
    if log.end and steps and steps[-1] < 0.98 * log.end.step:
        return (f"{log.path}: retention was last measured at step {steps[-1]} of {log.end.step}",)
    return ()


def _whole(text: str) -> int:
    value = float(text)
    if value != int(value):
        raise ValueError
    return int(value)


_REQUIRED: Mapping[str, Callable[[str], float]] = {
    "params": _whole,
    "tokens": _whole,
    "frequency": float,
    "retention": float,
}
_OPTIONAL: Mapping[str, Callable[[str], float]] = {
    "facts": _whole,
    "tokens_per_fact": float,
    "chance": float,
    "options": _whole,
    "n": _whole,
    "seed": _whole,
    "loss": float,
}
_COLUMNS = {**_REQUIRED, **_OPTIONAL}


class CSVReader:
    """Reads a table with one run a row and the run log's names as columns; other columns are ignored."""

    name = "CSV"

    def claims(self, path: Path) -> bool:
        """Return whether the file is a ``.csv`` that has at least two of the required columns."""
        if path.suffix.lower() != ".csv" or not path.is_file():  # a named pipe would wait for ever
            return False
        with path.open("rb") as file:
            first = file.readline(10_000).decode("utf-8", errors="replace")
        return len(_REQUIRED.keys() & _names(next(csv.reader([first.strip("\ufeff\r\n\0")]), []))) >= 2

    def read(self, path: Path) -> list[ObservedRun]:
        """Return the runs, one a row.

        Raises:
            KISError: Missing columns, or every value that no run can have, with its line.
        """
        try:
            text = path.read_text(encoding="utf-8-sig", errors="replace")
        except OSError as error:
            raise KISError(Problem(str(path), str(error.strerror or error), "a readable CSV table")) from error
        rows = csv.reader(text.splitlines())
        header = _names(next(rows, []))
        problems = [
            Problem(
                f"{path}:1", f"no column {name!r}", "it", nearest(name, [column for column in header if column] or [""])
            )
            for name in _REQUIRED
            if name not in header
        ]
        problems += [
            Problem(f"{path}:1 {name}", "the column more than once", "it once")
            for name in _COLUMNS
            if header.count(name) > 1
        ]
        if problems:
            raise KISError(problems)
        runs: list[ObservedRun] = []
        try:
            for row in rows:
                where = f"{path}:{rows.line_num}"
                if len(row) != len(header) and any(cell.strip() for cell in row):
                    # A row cut short, or 0,4 for 0.4: all that follows would be read in the wrong columns.
                    problems.append(Problem(where, f"{len(row)} columns", f"{len(header)}, as the first row has"))
                elif any(cell.strip() for cell in row):
                    run, wrong = _run(dict(zip(header, row, strict=True)), where)
                    problems += wrong
                    runs += [run] if run else []
        except csv.Error as error:
            problems.append(Problem(f"{path}:{rows.line_num}", str(error), "a row of a CSV table"))
        if problems:
            raise KISError(problems)
        return runs


def _names(header: list[str]) -> list[str]:
    return [name.strip().lower() for name in header]


def _run(cells: Mapping[str, str], where: str) -> tuple[ObservedRun | None, list[Problem]]:
    """Build a run from a row, or say everything that keeps it from being one."""
    values: dict[str, float] = {}
    problems = []
    for name, kind in _COLUMNS.items():
        text = (cells.get(name) or "").strip()
        if not text and name in _OPTIONAL:
            continue
        try:
            values[name] = kind(text)
            if not math.isfinite(values[name]):
                raise ValueError
        except (ValueError, OverflowError):
            expected = "a whole number" if kind is _whole else "a finite number"
            problems.append(Problem(f"{where} {name}", repr(text[:60]), expected))
    if problems:
        return None, problems
    options = values.pop("options", None)
    if options is not None and "chance" not in values:
        if options < 2:
            return None, [Problem(f"{where} options", f"{options:g}", "2 options or more")]
        values["chance"] = 1 / options
    run = replace(_EMPTY, source=where, **values)  # type: ignore[arg-type]  # kinds are the table's, names the dataclass's
    problems = [Problem(f"{where} {key}", repr(values[key]), expected) for key, expected in _impossible(run)]
    return (None, problems) if problems else (run, [])


_EMPTY = ObservedRun(source="", params=1, tokens=1, frequency=0.0, retention=None)


def _impossible(run: ObservedRun) -> Iterator[tuple[str, str]]:
    """Yield the names of values that no run can have, with what was expected."""
    if not 1 <= run.params <= 1e18:
        yield "params", "a number of parameters between 1 and 1e18"
    if not 1 <= run.tokens <= 1e18:
        yield "tokens", "a number of tokens between 1 and 1e18"
    if not 0 <= run.frequency <= 1e15:
        yield "frequency", "exposures per fact, 0 or more"
    if run.retention is not None and not 0 <= run.retention <= 1:
        yield "retention", "an accuracy between 0 and 1"
    if run.n is not None and not 1 <= run.n <= 1e15:
        yield "n", "a number of probes, 1 or more"
    if run.chance is not None and not 0 < run.chance < 1:
        yield "chance", "a probability between 0 and 1, both excluded"
    if run.facts is not None and not 1 <= run.facts <= 1e15:
        yield "facts", "a number of facts, 1 or more"
    if run.tokens_per_fact is not None and not 0 < run.tokens_per_fact <= 1e9:
        yield "tokens_per_fact", "a number of tokens above 0"
    if run.share is not None and not 0 <= run.share <= 1.001:
        yield "share", "a share of D between 0 and 1"
