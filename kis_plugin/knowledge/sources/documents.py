"""Passages from documents: JSON lines with ``text``, and text files."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from kis_plugin.knowledge.facts import Knowledge, Passage
from kis_plugin.knowledge.sources.text_files import Problems, first_record, kind_of, lines, quoted, record_id, records
from kis_plugin.knowledge.sources.unique_entries import Rule, yield_unique
from kis_plugin.knowledge.sources.validity_fields import validity_of
from kis_plugin.storage.text_rules import is_unicode
from kis_plugin.storage.unicode_forms import canonical

__all__ = ["DocumentSource"]

_Place = tuple[Path, int]
_RULES: tuple[Rule[Passage], ...] = (
    Rule("document", lambda passage: canonical(passage.text), attrgetter("text")),
    Rule("id", attrgetter("id"), attrgetter("id"), " id"),
)
_NOTHING = ("no documents", "at least one")


class DocumentSource:
    """JSONL with text in each record, .txt (form feeds separate documents), or a folder of .txt; also .gz and .xz."""

    name = "documents"
    version = ""

    def claims(self, path: Path) -> bool:
        """Return whether this is a text file, a folder with one, or JSONL whose first record has ``text``."""
        if path.is_dir():
            return any(kind_of(file) == ".txt" for file in path.iterdir())
        if kind_of(path) == ".txt":
            return path.is_file()
        return kind_of(path) in (".jsonl", ".ndjson") and "text" in (first_record(path) or {})

    def read(self, path: Path) -> Knowledge:
        """Read all passages; those of a folder in the order of file names.

        Raises:
            KISError: Everything wrong with the files, each with its line.
        """
        return Knowledge(passages=tuple(self.stream(path)))

    def every(self, path: Path) -> Iterator[Passage]:
        """Yield the passages one by one, repeated ones too.

        Raises:
            KISError: Everything else wrong with the files, each with its line, after the last passage.
        """
        problems, count = Problems(path), 0
        for _, passage in _passages(path, problems):
            count += 1
            yield passage
        if not count and not len(problems):
            problems.add(str(path), *_NOTHING)
        problems.raise_any()

    def stream(self, path: Path) -> Iterator[Passage]:
        """Yield the passages one by one.

        Raises:
            KISError: Everything wrong with the files, each with its line, after the last passage.
        """
        return yield_unique(
            lambda problems: _passages(path, problems),
            _RULES,
            Problems(path),
            lambda place: (f"{place[0]}:{place[1]}", f"at {place[0]}:{place[1]}"),
            _NOTHING,
        )


def _passages(path: Path, problems: Problems) -> Iterator[tuple[_Place, Passage]]:
    if path.is_dir():
        for file in sorted(file for file in path.iterdir() if kind_of(file) == ".txt"):
            yield from _of_text(file, problems)
    elif kind_of(path) == ".txt":
        yield from _of_text(path, problems)
    else:
        yield from _of_records(path, problems)


def _of_text(path: Path, problems: Problems) -> Iterator[tuple[_Place, Passage]]:
    """Yield the documents of a text file: ``<file>``, or ``<file>:1``, ``<file>:2`` where form feeds separate them."""
    before = len(problems)
    kept = 0
    for line, text, several in _between_form_feeds(path, problems):
        content = text.strip()
        if content and len(problems) == before:
            kept += 1
            start = line + text[: len(text) - len(text.lstrip())].count("\n")
            yield (path, start), Passage(content, f"{path.name}:{kept}" if several else path.name)
    if not kept and len(problems) == before:
        problems.add(str(path), "an empty document", "text")


def _between_form_feeds(path: Path, problems: Problems) -> Iterator[tuple[int, str, bool]]:
    """Yield the text between form feeds with its first line, and whether the file has any form feed."""
    parts: list[str] = []
    start, several = 1, False
    for line, text in lines(path, problems):
        first, *more = text.replace("\r\n", "\n").split("\f")
        parts.append(first)
        for part in more:
            several = True
            yield start, "".join(parts), several
            parts, start = [part], line
    yield start, "".join(parts), several


def _of_records(path: Path, problems: Problems) -> Iterator[tuple[_Place, Passage]]:
    """Yield the documents of a JSON lines file."""
    for line, record in records(path, problems):
        where, text = f"{path}:{line}", record.get("text")
        before = len(problems)
        if "text" not in record:
            keys = ", ".join(map(repr, list(record)[:8]))
            problems.add(f"{where} text", f"only the keys {keys}", "the key 'text', as the first record has")
        elif not isinstance(text, str):
            problems.add(f"{where} text", quoted(text), "text")
        elif not text.strip():
            problems.add(f"{where} text", "an empty value", "text")
        elif not is_unicode(text):
            problems.add(f"{where} text", "a lone surrogate", "text that can be written as UTF-8")
        else:
            name = record_id(record, where, problems)
            start, until = validity_of(record, where, problems)
            if len(problems) == before:
                yield (path, line), Passage(text.strip(), name or f"{path.name}:{line}", start, until)
