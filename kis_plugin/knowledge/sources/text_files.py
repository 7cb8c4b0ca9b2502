"""Knowledge files as lines of UTF-8 text, plain or compressed; problems are collected for one report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO, Any

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.compressed_files import BROKEN, COMPRESSED, content_of
from kis_plugin.storage.regular_files import refuse_special_file
from kis_plugin.storage.text_rules import is_unicode

__all__ = [
    "JSONL", "MOST_BYTES", "Problems", "json_value", "kind_of", "lines", "quoted", "record_id", "records", "whole_text",
]  # fmt: skip

JSONL = (".jsonl", ".ndjson")
SHOWN = 20
_BLOCK = 1 << 20  # bytes
MOST_BYTES = 64 * 2**20
"""The longest line, and the largest file that is read as one JSON value, decompressed."""


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


def kind_of(path: PurePath) -> str:
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
        with _content(path) as file:
            for number, raw in enumerate(iter(lambda: file.readline(MOST_BYTES + 1), b""), start=1):
                if len(raw) > MOST_BYTES:
                    problems.add(f"{path}:{number}", f"a line of more than {MOST_BYTES:,} bytes", "shorter lines")
                    return
                if number == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                    problems.add(f"{path}:1", "a byte-order mark of UTF-16", "a file in UTF-8", "Save it as UTF-8.")
                    return
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    broken = raw[error.start : error.start + 4]
                    problems.add(f"{path}:{number}", f"bytes that are not UTF-8 ({broken!r})", "a file in UTF-8")
    except KISError as error:
        problems.add(str(path), error.problems[0].found, error.problems[0].expected, error.problems[0].hint)
    except BROKEN as error:
        after = f" after line {number}" if number else ""
        problems.add(str(path), f"{getattr(error, 'strerror', None) or error}{after}", "a file that can be read")


def whole_text(path: Path, problems: Problems, most: int, hint: str) -> str:
    """Return the text of a file that is read as one JSON value, without a byte-order mark.

    Args:
        path: The file, plain or compressed.
        problems: Collects errors: a file that cannot be read, is no UTF-8 or is too large.
        most: Bytes of the largest one, decompressed.
        hint: What to do about one that is too large.
    """
    raw = bytearray()
    try:
        with _content(path) as file:
            while len(raw) <= most and (block := file.read(_BLOCK)):
                raw += block
        if len(raw) > most:
            problems.add(str(path), f"JSON of more than {most:,} bytes", "a smaller list", hint)
            return ""
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            problems.add(f"{path}:1", "a byte-order mark of UTF-16", "a file in UTF-8", "Save it as UTF-8.")
            return ""
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        broken = bytes(raw[error.start : error.start + 4])
        problems.add(f"{path}:{number}", f"bytes that are not UTF-8 ({broken!r})", "a file in UTF-8")
    except KISError as error:
        problems.add(str(path), error.problems[0].found, error.problems[0].expected, error.problems[0].hint)
    except BROKEN as error:
        problems.add(str(path), f"{getattr(error, 'strerror', None) or error}", "a file that can be read")
    return ""


@contextmanager
def _content(path: Path) -> Iterator[IO[bytes]]:
    refuse_special_file(path)
    with path.open("rb") as stored, content_of(stored, str(path), path.suffix) as file:
        yield file


def records(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each JSON object of a JSON lines file with its line; blank lines are skipped."""
    for number, line in lines(path, problems):
        if not line.strip():
            continue
        before = len(problems)
        record = json_value(line, f"{path}:{number}", problems, "a line", "one JSON object a line")
        if len(problems) > before:
            continue
        if isinstance(record, dict):
            yield number, record
        else:
            problems.add(f"{path}:{number}", quoted(record), "one JSON object a line")


_MOST_NESTED = 2_000_000


class _RepeatedKeyError(ValueError):
    """A key that an object has twice."""


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(key for key, _ in pairs)
        raise _RepeatedKeyError(next(key for key in found if times[key] > 1))
    return found


def json_value(text: str, where: str, problems: Problems, what: str = "a file", expected: str = "JSON") -> Any:
    """Return a JSON value, None with a problem if it is none, or if an object has a key twice.

    Args:
        text: The text.
        where: Its file and line.
        problems: Collects errors.
        what: What an error calls the text.
        expected: What should be there.
    """
    if text.count("[") + text.count("{") > _MOST_NESTED:  # an empty list of two letters takes 64 bytes once it is read
        problems.add(where, f"{what} with more than {_MOST_NESTED:,} lists and objects", f"{expected} of fewer")
        return None
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except _RepeatedKeyError as error:
        problems.add(where, f"the key {str(error)!r} a second time", "each key once in an object")
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and what == "a file":
            where = f"{where}:{error.lineno}"
        problems.add(where, f"{what} that is not JSON ({getattr(error, 'msg', None) or error})", expected)
    return None


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
