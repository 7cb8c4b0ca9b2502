"""Knowledge files as lines of UTF-8 text, plain, ``.gz`` or ``.xz``; problems are collected for one report."""

from __future__ import annotations

import gzip
import json
import lzma
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.text_rules import is_unicode

__all__ = ["JSONL", "Problems", "first_record", "kind_of", "lines", "quoted", "record_id", "records"]

COMPRESSED = (".gz", ".xz")
JSONL = (".jsonl", ".ndjson")
SHOWN = 20
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)


class Problems:
    """Problems of one knowledge file or folder: the first 20 in full, the rest counted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shown: list[Problem] = []
        self._count = 0

    def add(self, where: str, found: str, expected: str, hint: str = "") -> None:
        """Add one problem."""
        self._count += 1
        if self._count <= SHOWN:
            self._shown.append(Problem(where, found, expected, hint))

    def count(self, more: int) -> None:
        """Count problems that are not shown."""
        self._count += more

    def __len__(self) -> int:
        """Return the number of problems."""
        return self._count

    def raise_any(self) -> None:
        """Raise a KISError with all problems, if there are any."""
        more = self._count - len(self._shown)
        if more:
            self._shown.append(Problem(str(self.path), f"and {more:,} more", "none", "Correct those above first."))
        if self._shown:
            raise KISError(self._shown)


def kind_of(path: Path) -> str:
    """Return the suffix in lower case without that of compression: ``.jsonl`` for ``facts.jsonl.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def quoted(value: object) -> str:
    """Return a value for an error message: escaped, and cut to 60 characters."""
    shown = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Yield each line with its number from 1, line end included, without a byte-order mark."""
    number = 0
    try:
        with _open(path) as file:
            for number, raw in enumerate(file, start=1):
                if number == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                    problems.add(f"{path}:1", "a byte-order mark of UTF-16", "a file in UTF-8", "Save it as UTF-8.")
                    return
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    broken = raw[error.start : error.start + 4]
                    problems.add(f"{path}:{number}", f"bytes that are not UTF-8 ({broken!r})", "a file in UTF-8")
    except BROKEN as error:
        after = f" after line {number}" if number else ""
        problems.add(str(path), f"{getattr(error, 'strerror', None) or error}{after}", "a file that can be read")


def records(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each JSON object of a JSON lines file with its line; blank lines are skipped."""
    for number, line in lines(path, problems):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", None) or str(error)
            problems.add(f"{path}:{number}", f"a line that is not JSON ({reason})", "one JSON object a line")
            continue
        if isinstance(record, dict):
            yield number, record
        else:
            problems.add(f"{path}:{number}", quoted(record), "one JSON object a line")


def record_id(record: Mapping[str, Any], where: str, problems: Problems) -> str:
    """Return the id of a record as text, empty if it has none; an id of another type is a problem."""
    given = record.get("id")
    if given is None:
        return ""
    if not isinstance(given, (str, int)) or isinstance(given, bool):
        problems.add(f"{where} id", quoted(given), "text or a whole number")
        return ""
    name = str(given).strip()
    if not is_unicode(name):
        problems.add(f"{where} id", quoted(name), "text that can be written as UTF-8")
    return name


def first_record(path: Path) -> dict[str, Any] | None:
    """Return the first JSON object of a JSON lines file; None if the first line is not one, or cannot be read."""
    unused = Problems(path)
    return next((record for _, record in records(path, unused) if not len(unused)), None)


def _open(path: Path) -> IO[bytes] | gzip.GzipFile | lzma.LZMAFile:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rb")
    if path.suffix.lower() == ".xz":
        return lzma.open(path, "rb")
    return path.open("rb")
