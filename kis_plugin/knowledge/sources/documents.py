"""Passages from documents: text and PDF files, and records with text, questions or conversations."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from kis_plugin.knowledge.facts import Knowledge, Passage
from kis_plugin.knowledge.sources.document_records import document_text, is_document
from kis_plugin.knowledge.sources.pdf_files import pdf_text
from kis_plugin.knowledge.sources.record_files import Columns, any_records, first_record, record_kind
from kis_plugin.knowledge.sources.text_files import Problems, kind_of, lines, record_id
from kis_plugin.knowledge.sources.unique_entries import Rule, yield_unique
from kis_plugin.knowledge.sources.validity_fields import validity_of
from kis_plugin.storage.unicode_forms import canonical

__all__ = ["NOTHING", "PASSAGE_RULES", "TEXT", "DocumentSource"]

TEXT = (".txt", ".md", ".markdown")
PASSAGE_RULES: tuple[Rule[Passage], ...] = (
    Rule("document", lambda passage: canonical(passage.text), attrgetter("text")),
    Rule("id", attrgetter("id"), attrgetter("id"), " id"),
)
NOTHING = ("no documents", "at least one")
_PDF = ".pdf"


class DocumentSource:
    """.txt and .md (form feeds separate documents), .pdf, records with text, questions or messages; also .gz, .xz."""

    name = "documents"
    version = ""

    def claims(self, path: Path) -> bool:
        """Return whether this is a text or PDF file, or a file of records of which the first is a document."""
        if kind_of(path) in TEXT or path.suffix.lower() == _PDF:
            return path.is_file()
        return record_kind(path) is not None and is_document(first_record(path) or {})

    def read(self, path: Path) -> Knowledge:
        """Read all passages.

        Raises:
            KISError: Everything wrong with the file, each with its line.
        """
        return Knowledge(passages=tuple(self.stream(path)))

    def stream(self, path: Path) -> Iterator[Passage]:
        """Yield the passages one by one.

        Raises:
            KISError: Everything wrong with the file, each with its line, after the last passage.
        """
        return yield_unique(
            lambda problems: self.entries(path, problems),
            PASSAGE_RULES,
            Problems(path),
            lambda line: (f"{path}:{line}", f"at {path}:{line}"),
            NOTHING,
        )

    def entries(self, path: Path, problems: Problems, name: str = "") -> Iterator[tuple[int, Passage]]:
        """Yield each passage with its line, repeated ones too.

        Args:
            path: The file.
            problems: Collects errors.
            name: The file in the ids of passages that have none; by default its name.
        """
        name = name or path.name
        if kind_of(path) in TEXT:
            yield from _of_text(path, name, problems)
        elif path.suffix.lower() == _PDF:
            if text := pdf_text(path, problems):
                yield 1, Passage(text, name)
        else:
            yield from _of_records(path, name, problems)


def _of_text(path: Path, name: str, problems: Problems) -> Iterator[tuple[int, Passage]]:
    """Yield the documents of a text file: ``<file>``, or ``<file>:1``, ``<file>:2`` where form feeds separate them."""
    before = len(problems)
    kept = 0
    for line, text, several in _between_form_feeds(path, problems):
        content = text.strip()
        if content and len(problems) == before:
            kept += 1
            start = line + text[: len(text) - len(text.lstrip())].count("\n")
            yield start, Passage(content, f"{name}:{kept}" if several else name)
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


def _of_records(path: Path, name: str, problems: Problems) -> Iterator[tuple[int, Passage]]:
    """Yield the documents of a file of records."""
    kind = record_kind(path)
    table = kind is not None and kind.table
    for line, record in any_records(path, problems, Columns({}, {})):
        where, before = f"{path}:{line}", len(problems)
        text = document_text(record, where, problems)
        given_id = "" if table and not record.get("id") else record_id(record, where, problems)
        start, until = validity_of(record, where, problems, table)
        if len(problems) == before:
            yield line, Passage(text, given_id or f"{name}:{line}", start, until)
