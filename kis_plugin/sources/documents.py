"""Passages from documents: JSONL with ``text``, and text files."""

from __future__ import annotations

from pathlib import Path

from kis_plugin.knowledge import Knowledge, Passage
from kis_plugin.plain_text import is_unicode
from kis_plugin.sources.text_files import Problems, first_record, kind_of, lines, quoted, records

__all__ = ["DocumentSource"]


class DocumentSource:
    """JSONL with text in each record, .txt (documents parted by form feeds), or a folder of .txt; also .gz and .xz."""

    name = "documents"

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
        passages = _Passages(Problems(path))
        if path.is_dir():
            for file in sorted(file for file in path.iterdir() if kind_of(file) == ".txt"):
                passages.add_text(file)
        elif kind_of(path) == ".txt":
            passages.add_text(path)
        else:
            passages.add_records(path)
        if not passages.found and not len(passages.problems):
            passages.problems.add(str(path), "no documents", "at least one")
        passages.problems.raise_any()
        return Knowledge(passages=tuple(passages.found))


class _Passages:
    """Passages of one source: none twice, each with an id of its own."""

    def __init__(self, problems: Problems) -> None:
        self.found: list[Passage] = []
        self.problems = problems
        self._place_of_text: dict[str, str] = {}
        self._place_of_id: dict[str, str] = {}

    def add_text(self, path: Path) -> None:
        """Add the documents of a text file: ``<file>``, or ``<file>:1``, ``<file>:2`` where form feeds part them."""
        before = len(self.problems)
        text = "".join(line for _, line in lines(path, self.problems)).replace("\r\n", "\n")
        if len(self.problems) > before:
            return
        parts = text.split("\f")
        line = 1
        kept = 0
        for part in parts:
            if part.strip():
                kept += 1
                start = line + part[: len(part) - len(part.lstrip())].count("\n")
                self._add(f"{path}:{start}", part.strip(), f"{path.name}:{kept}" if len(parts) > 1 else path.name)
            line += part.count("\n")
        if not kept:
            self.problems.add(str(path), "an empty document", "text")

    def add_records(self, path: Path) -> None:
        """Add the documents of a JSONL file."""
        for line, record in records(path, self.problems):
            where, text, given = f"{path}:{line}", record.get("text"), record.get("id")
            if "text" not in record:
                keys = ", ".join(map(repr, list(record)[:8]))
                self.problems.add(f"{where} text", f"only the keys {keys}", "the key 'text', as the first record has")
            elif not isinstance(text, str):
                self.problems.add(f"{where} text", quoted(text), "text")
            elif not text.strip():
                self.problems.add(f"{where} text", "an empty value", "text")
            elif given is not None and (not isinstance(given, (str, int)) or isinstance(given, bool)):
                self.problems.add(f"{where} id", quoted(given), "text or a whole number")
            else:
                name = str(given).strip() if given is not None else ""
                self._add(where, text.strip(), name or f"{path.name}:{line}")

    def _add(self, where: str, text: str, name: str) -> None:
        if not is_unicode(text):
            self.problems.add(f"{where} text", "a lone surrogate", "text that can be written as UTF-8")
        first_text = self._place_of_text.setdefault(text, where)
        first_id = self._place_of_id.setdefault(name, where)
        if first_text != where:
            self.problems.add(
                where, f"{quoted(text)} a second time", f"each document once; the first is at {first_text}"
            )
        elif first_id != where:
            self.problems.add(
                f"{where} id", f"{quoted(name)} a second time", f"each id once; the first is at {first_id}"
            )
        else:
            self.found.append(Passage(text, name))
