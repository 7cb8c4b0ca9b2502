"""Answers of models to questions about facts, with how often each was shown the fact: from run logs or tables."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.run.log import LOG_NAME
from kis_plugin.storage.compressed_files import COMPRESSED, plain_name
from kis_plugin.storage.text_lines import text_lines
from kis_predict.readers.files import files_below
from kis_predict.readers.places import resolve

__all__ = ["COLUMNS", "ModelAnswers", "read_answers"]

COLUMNS = ("model", "fact", "occurrences", "correct")
"""The columns of a table of answers."""
_TRUTH = {"1": True, "0": False, "true": True, "false": False}
_SHOWN = 20  # problems of all files
_NAMES = (LOG_NAME, *(LOG_NAME + ending for ending in COMPRESSED), "*.csv")


@dataclass(frozen=True)
class ModelAnswers:
    """The answers of one model.

    Attributes:
        model: Its name: the folder of a run log, or what the table says.
        params: Its parameters; None where unknown.
        facts: (n,) names of the facts, each once.
        occurrences: (n,) how often training showed each, not negative.
        correct: (n,) whether the answer was right.
    """

    model: str
    params: int | None
    facts: tuple[str, ...]
    occurrences: npt.NDArray[np.float64]
    correct: npt.NDArray[np.bool_]


def read_answers(
    places: Sequence[str], series: str, notify: Callable[[str], None], follow_links: bool = False
) -> list[ModelAnswers]:
    """Read the answers of every model at or under ``places``.

    Args:
        places: Run logs, tables of answers (CSV with ``COLUMNS``), folders of them that are searched to the bottom,
            archives, or URLs.
        series: Whose answers of a run log: ``held_out``, ``seen`` or ``background``.
        notify: Gets a line about logs without answers, which are left out.
        follow_links: Whether to follow links that lead out of the folders searched.

    Raises:
        KISError: Everything wrong in any file, a place that does not exist, or no answers at all.
    """
    found: dict[str, ModelAnswers] = {}
    problems: list[Problem] = []
    without: list[str] = []
    with ExitStack() as stack:
        for given in places:
            place = resolve(given, _NAMES, notify, stack)
            for path, _ in files_below(place.root, problems, follow_links=follow_links):
                shown = place.shown(str(path))
                try:
                    models = list(_read(path, shown, series, named=path == place.root))
                except KISError as error:
                    problems += error.problems
                    continue
                if plain_name(path.name) == LOG_NAME and not models:
                    without.append(shown)
                for model in models:
                    if model.model in found:
                        problems.append(Problem(shown, f"the model {model.model!r} again", "each model once"))
                    found[model.model] = model
    if not problems and not found:
        hint = "Runs log answers at their end where retention.corpus_counts is set."
        what = f"{len(without):,} run logs without answers of {series}" if without else "no run log and no table"
        expected = f"answers with how often each fact was shown; a table has {', '.join(COLUMNS)}"
        problems.append(Problem(f"--logs {' '.join(places)}", what, expected, hint))
    if problems:
        raise KISError(problems[:_SHOWN])
    if without:
        notify(f"Left out {len(without):,} run logs without answers of {series}: {without[0]} among them.")
    return sorted(found.values(), key=lambda answers: (answers.params or 0, answers.model))


def _read(path: Path, shown: str, series: str, named: bool) -> Iterator[ModelAnswers]:
    """Yield the models of one file; a table in a folder that holds something else is passed over."""
    if plain_name(path.name) == LOG_NAME:
        yield from _of_log(path, shown, series)
    elif path.suffix.lower() == ".csv":
        yield from _of_table(path, shown, named)
    elif named:
        raise KISError(Problem(f"--logs {shown}", "another file", f"{LOG_NAME}, or a table that ends in .csv"))


def _of_log(path: Path, shown: str, series: str) -> Iterator[ModelAnswers]:
    """Yield the last answers of a run."""
    params: int | None = None
    last: Any = None
    for line in text_lines(path):
        # Few lines are parsed: the first, and those of evaluations with answers.
        if params is None or '"answers"' in line:
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the torn line of a run that was killed; kis-predict names what else is wrong with a log
            if not isinstance(record, dict):
                continue
            if record.get("type") == "run" and type(record.get("params")) is int:
                params = record["params"]
            if record.get("type") == "retention" and record.get("probe") == series and "answers" in record:
                last = record["answers"]
    if last is not None:
        where = f"{shown} answers of {series}"
        try:
            columns = [last[key] for key in ("facts", "occurrences", "correct")]
            rows = list(zip(*columns, strict=True))
        except (KeyError, TypeError, ValueError) as error:
            expected = "facts, occurrences and correct, equally long lists"
            raise KISError(Problem(where, "other answers", expected, "Is the log whole?")) from error
        yield _checked(str(Path(shown).parent), params, rows, where)


def _of_table(path: Path, shown: str, named: bool) -> Iterator[ModelAnswers]:
    """Yield the models of a table, in the order of their first rows."""
    rows: dict[str, list[tuple[Any, Any, Any]]] = {}
    params: dict[str, int] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        header = tuple(table.fieldnames or ())
        if not set(COLUMNS) <= set(header):
            if named:
                expected = f"{', '.join(COLUMNS)}, and params if it is known"
                raise KISError(Problem(f"{shown}:1", f"the columns {', '.join(header)[:80] or 'none'}", expected))
            return
        for number, row in enumerate(table, start=2):
            model, fact, x, correct = (row[name] or "" for name in COLUMNS)
            if not model or not fact or correct.strip().lower() not in _TRUTH:
                found = f"model {model!r}, fact {fact!r}, correct {correct!r}"
                raise KISError(Problem(f"{shown}:{number}", found, "a model, a fact, and 0 or 1 for correct"))
            rows.setdefault(model, []).append((fact, x, _TRUTH[correct.strip().lower()]))
            if (size := (row.get("params") or "").strip()).isdigit():
                params[model] = int(size)
    for model, some in rows.items():
        yield _checked(model, params.get(model), some, f"{shown}, model {model}")


def _checked(model: str, params: int | None, rows: Sequence[tuple[Any, Any, Any]], where: str) -> ModelAnswers:
    """Return the answers of a model.

    Raises:
        KISError: A count that is none, or a fact that is there twice.
    """
    facts: dict[str, None] = {}
    counts = np.zeros(len(rows))
    correct = np.zeros(len(rows), dtype=np.bool_)
    for place, (fact, x, right) in enumerate(rows):
        try:
            counts[place] = float(x)
        except (TypeError, ValueError):
            counts[place] = math.nan
        if not (math.isfinite(counts[place]) and counts[place] >= 0):
            raise KISError(Problem(where, f"fact {fact!r} shown {x!r} times", "a number of 0 or more"))
        if not isinstance(fact, str) or fact in facts:
            found = f"fact {fact!r} twice" if isinstance(fact, str) else f"a fact {fact!r}"
            raise KISError(Problem(where, found, "each fact once, by name"))
        facts[fact], correct[place] = None, bool(right)
    return ModelAnswers(model, params, tuple(facts), counts, correct)
