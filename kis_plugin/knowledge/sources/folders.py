"""Facts and passages from all files of a folder and its subfolders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from kis_plugin.knowledge.facts import Fact, Knowledge, Passage
from kis_plugin.knowledge.sources.documents import NOTHING, PASSAGE_RULES, DocumentSource
from kis_plugin.knowledge.sources.fact_file import FactFileSource
from kis_plugin.knowledge.sources.fact_records import FACT_RULES
from kis_plugin.knowledge.sources.ntriples import NTriplesSource
from kis_plugin.knowledge.sources.record_files import is_saved_dataset, record_kind
from kis_plugin.knowledge.sources.text_files import Problems
from kis_plugin.knowledge.sources.triples import TripleSource
from kis_plugin.knowledge.sources.unique_entries import Rule, yield_unique

__all__ = ["FolderSource", "every_document"]

T = TypeVar("T", Fact, Passage)
_FileSource = FactFileSource | DocumentSource


class FolderSource:
    """A folder with files of facts or documents, in subfolders too."""

    name = "folder"

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        self._facts: Sequence[TripleSource | NTriplesSource] = (TripleSource(columns), NTriplesSource())
        self._documents = DocumentSource()

    @property
    def version(self) -> str:
        """The mapping of columns, on which the facts depend."""
        return str(self._facts[0].version)

    def claims(self, path: Path) -> bool:
        """Return whether this is a folder with a file that can be read."""
        return path.is_dir() and any(self._source(file) for file in _files(path))

    def read(self, path: Path) -> Knowledge:
        """Read all files, in the order of their paths.

        Raises:
            KISError: Everything wrong with the files, each with its line.
        """
        entries = list(self.stream(path))
        facts = tuple(entry for entry in entries if isinstance(entry, Fact))
        return Knowledge(facts, tuple(entry for entry in entries if isinstance(entry, Passage)))

    def stream(self, path: Path) -> Iterator[Fact | Passage]:
        """Yield facts, then passages, one by one.

        Raises:
            KISError: Everything wrong with the files, each with its line, after the last entry of its kind.
        """
        sources = {file: self._source(file) for file in _files(path)}
        documents = [file for file, source in sources.items() if source is self._documents]
        facts = [file for file, source in sources.items() if source in self._facts]
        if facts:
            yield from _unique(path, lambda problems: self._fact_entries(path, facts, problems), FACT_RULES)
        if documents:
            yield from _unique(path, lambda problems: self._passages(path, documents, problems), PASSAGE_RULES)

    def unread(self, path: Path) -> dict[Path, str]:
        """Return the files that are not read, with the reason."""
        files = _files(path, hidden=True)
        return {file: _reason(path, file) for file in files if _hidden(path, file) or not self._source(file)}

    def _source(self, file: Path) -> _FileSource | None:
        return next((source for source in (*self._facts, self._documents) if source.claims(file)), None)

    def _fact_entries(self, folder: Path, files: list[Path], problems: Problems) -> Iterator[tuple[str, Fact]]:
        for file in files:
            source = self._source(file)
            if isinstance(source, FactFileSource):
                for line, fact in source.entries(file, problems, f"{file.relative_to(folder).as_posix()}:"):
                    yield f"{file}:{line}", fact

    def _passages(self, folder: Path, files: list[Path], problems: Problems) -> Iterator[tuple[str, Passage]]:
        for file in files:
            for line, passage in self._documents.entries(file, problems, file.relative_to(folder).as_posix()):
                yield f"{file}:{line}", passage


def _unique(path: Path, read: Callable[[Problems], Iterator[tuple[str, T]]], rules: Sequence[Rule[T]]) -> Iterator[T]:
    return yield_unique(read, rules, Problems(path), lambda spot: (spot, f"at {spot}"), ("nothing", "at least one"))


def _files(folder: Path, hidden: bool = False) -> list[Path]:
    """Return the files in a folder and its subfolders by path; a saved dataset counts as one."""
    found: list[Path] = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") and not hidden:
            continue
        if entry.is_dir() and not entry.is_symlink() and not is_saved_dataset(entry):
            found += _files(entry, hidden)
        else:
            found.append(entry)
    return found


def _hidden(folder: Path, file: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _reason(folder: Path, file: Path) -> str:
    if _hidden(folder, file):
        return "a hidden file"
    if file.is_dir():
        return "a link to a folder"
    if not file.is_file():
        return "no regular file"
    if record_kind(file):
        return "its first record is neither a fact nor a document"
    return f"no source reads files {file.suffix.lower() or 'without a suffix'}"


def every_document(path: Path) -> Iterator[str]:
    """Yield the text of all documents at ``path``, repeated ones too.

    Raises:
        KISError: Everything wrong with the files, each with its line, after the last document.
    """
    source, problems, count = DocumentSource(), Problems(path), 0
    for file in _files(path) if path.is_dir() else [path]:
        if path.is_dir() and not source.claims(file):
            continue
        for _, passage in source.entries(file, problems):
            count += 1
            yield passage.text
    if not count and not len(problems):
        problems.add(str(path), *NOTHING)
    problems.raise_any()
