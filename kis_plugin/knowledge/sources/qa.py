"""The user's own questions and answers, from every kind of table that knowledge comes in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from kis_plugin.knowledge.sources.name_lists import name_list
from kis_plugin.knowledge.sources.record_files import Columns, any_records, record_kind
from kis_plugin.knowledge.sources.text_files import Problems, kind_of, quoted
from kis_plugin.knowledge.sources.unique_entries import Rule, yield_unique
from kis_plugin.knowledge.sources.validity_fields import given
from kis_plugin.storage.text_rules import ONE_LINE, is_one_line
from kis_plugin.storage.unicode_forms import canonical, folded

__all__ = ["UserQuestion", "read_qa"]

_NEEDED = {"question": ("question",), "answer": ("answer",)}
_COLUMNS = {name: name for name in (*_NEEDED, "aliases", "options", "topic")}
_RULES = (Rule("question", lambda entry: canonical(entry.question), attrgetter("question")),)


@dataclass(frozen=True)
class UserQuestion:
    """One question.

    Attributes:
        question: As the user phrased it.
        answer: The right answer.
        aliases: Other right answers.
        options: Wrong answers.
        topic: Questions of one topic may take each other's answers as wrong options; empty for none.
    """

    question: str
    answer: str
    aliases: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    topic: str = ""


def read_qa(path: Path) -> tuple[UserQuestion, ...]:
    """Read questions, in the order of the file.

    Raises:
        KISError: Everything wrong with the file, each with its line.
    """
    return tuple(
        yield_unique(
            lambda problems: _questions(path, problems),
            _RULES,
            Problems(path),
            lambda line: (f"{path}:{line}", f"in line {line}"),
            ("no questions", "a question and an answer in each record"),
        )
    )


def _questions(path: Path, problems: Problems) -> Iterator[tuple[int, UserQuestion]]:
    """Yield each question with its line."""
    kind = record_kind(path)
    if kind is None:
        found = "a folder" if path.is_dir() else f"a file {kind_of(path) or 'without a suffix'}"
        problems.add(str(path), found, "questions as JSONL, JSON, CSV, TSV, Parquet or a saved dataset")
        return
    table = kind.table
    for line, record in any_records(path, problems, Columns(_COLUMNS, _NEEDED)):
        where, before = f"{path}:{line}", len(problems)
        question, answer = (_text(record, key, where, problems) for key in _NEEDED)
        topic = "" if given(record, "topic", table) is None else _text(record, "topic", where, problems)
        aliases, options = (name_list(record, key, where, problems, table) for key in ("aliases", "options"))
        right = {folded(name) for name in (answer, *aliases)}
        for option in options:
            if folded(option) in right:
                problems.add(f"{where} options", f"{quoted(option)}, which is right", "wrong answers alone")
        if len(problems) == before:
            yield line, UserQuestion(question, answer, aliases, options, topic)


def _text(record: Mapping[str, Any], key: str, where: str, problems: Problems) -> str:
    value = record.get(key)
    if key not in record:
        keys = ", ".join(map(repr, list(record)[:8]))
        problems.add(f"{where} {key}", f"only the keys {keys}" if keys else "no keys", f"the key {key!r}")
    elif not isinstance(value, str):
        hint = "Put it in quotes." if isinstance(value, (int, float)) else ""
        problems.add(f"{where} {key}", quoted(value), "text", hint)
    elif not value.strip():
        problems.add(f"{where} {key}", "an empty value", "text")
    elif not is_one_line(value.strip()):
        problems.add(f"{where} {key}", quoted(value), ONE_LINE)
    else:
        return value.strip()
    return ""
