"""Reads the documents of base text as they are stored: plain text, JSON lines and Parquet."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from typing import IO, Any

from kis_plugin.counting.places import Place, name_of, opened
from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.sources.text_files import MOST_BYTES, quoted
from kis_plugin.storage.compressed_files import content_of

__all__ = ["BLOCK", "READERS", "Chunks", "content"]

BLOCK = 1 << 20
"""Bytes read at a time."""
_ROWS = 256  # documents of a Parquet file that are read at a time
_HINT = "Each document of base text has its text under 'text'."

Chunks = Iterator[tuple[str, bool]]
"""Text of a document, and whether the document ends with it."""


def _of_text(path: Place, file: IO[bytes], start: int, stop: int | None) -> Chunks:
    """Yield documents separated by form feeds."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at, raw, ends in _between_form_feeds(file, start, stop):
        before = at - len(decoder.getstate()[0])
        try:
            text = decoder.decode(raw, final=ends)
        except UnicodeDecodeError as error:
            broken = f"bytes that are not UTF-8 ({error.object[error.start : error.start + 4]!r})"
            raise KISError(Problem(_line_at(path, before + error.start), broken, "a file in UTF-8")) from error
        yield (text.removeprefix("\ufeff") if at == 0 else text), ends
        if ends:
            decoder.reset()


def _between_form_feeds(file: IO[bytes], start: int, stop: int | None) -> Iterator[tuple[int, bytes, bool]]:
    """Yield the documents that begin in a range of bytes, in chunks: offset, bytes, and whether the document ends."""
    at, inside = start, start == 0
    if start:
        at -= 1  # if there is a form feed, a document begins at ``start``
        file.seek(at)
    while block := file.read(BLOCK):
        first = 0
        while (cut := block.find(b"\f", first)) >= 0:
            if inside:
                yield at + first, block[first:cut], True
            inside, first = True, cut + 1
            if stop is not None and at + first >= stop:
                return
        if inside:
            yield at + first, block[first:], False
        at += len(block)
    if inside:
        yield at, b"", True


def _of_records(path: Place, file: IO[bytes], start: int, stop: int | None) -> Chunks:
    """Yield the texts of the records whose lines begin in a range of bytes."""
    at = start
    if start:
        file.seek(start - 1)
        at += len(_line(path, file, start - 1)) - 1
    while stop is None or at < stop:
        line = _line(path, file, at)
        if not line:
            return
        if line.strip():
            yield _text_of(path, at, line), True
        at += len(line)


def _line(path: Place, file: IO[bytes], at: int) -> bytes:
    """Read the line at an offset, or the rest of it; a compressed file may hold one that is larger than the memory."""
    line = file.readline(MOST_BYTES + 1)
    if len(line) > MOST_BYTES:
        found, expected = f"a line of more than {MOST_BYTES:,} bytes", "one document a line"
        raise KISError(Problem(_line_at(path, at), found, expected, "Divide it, or use .txt, which is read in parts."))
    return line


def _text_of(path: Place, at: int, line: bytes) -> str:
    try:
        record = json.loads(line.decode("utf-8-sig" if at == 0 else "utf-8"))
    except (ValueError, RecursionError) as error:
        found = f"a line that is not JSON in UTF-8 ({error})"
        raise KISError(Problem(_line_at(path, at), found, "one JSON object a line", _HINT)) from error
    text = record.get("text") if isinstance(record, dict) else None
    if not isinstance(text, str):
        found = quoted(text) if isinstance(record, dict) and "text" in record else "no key 'text'"
        raise KISError(Problem(_line_at(path, at), found, "text under the key 'text'", _HINT))
    return _writable(text)


def _writable(text: str) -> str:
    """Return text with lone surrogates replaced: JSON can hold them, names cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def content(path: Place, raw: IO[bytes]) -> IO[bytes]:
    """Return the content of an open file, decompressed if it is compressed."""
    return content_of(raw, str(path), name_of(path).suffix)


def _line_at(path: Place, offset: int) -> str:
    """Return ``file:line`` of a byte. It is slow, and only called for errors."""
    line = 1
    with opened(path) as raw, content(path, raw) as file:
        while offset > 0 and (block := file.read(min(offset, BLOCK))):
            line += block.count(b"\n")
            offset -= len(block)
    return f"{path}:{line}"


def _of_parquet(path: Place, file: IO[bytes], start: int, stop: int | None) -> Chunks:
    """Yield the texts of the row groups that begin in a range of bytes."""
    arrow, parquet = _arrow(path)
    try:
        table = parquet.ParquetFile(file)
        names, before = table.schema_arrow.names, 0
        if "text" not in names:
            found = f"the columns {', '.join(map(quoted, names[:8]))}"
            raise KISError(Problem(str(path), found, "a column 'text'", _HINT))
        for number in range(table.num_row_groups):
            group = table.metadata.row_group(number)
            if start <= _first_byte(group) and (stop is None or _first_byte(group) < stop):
                yield from _of_group(path, table, number, before)
            before += group.num_rows
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        found = str(error).split("\n")[0]
        raise KISError(Problem(str(path), found, "a Parquet file, whole")) from error


def _of_group(path: Place, table: Any, number: int, before: int) -> Chunks:
    for batch in table.iter_batches(_ROWS, row_groups=[number], columns=["text"], use_threads=False):
        for text in batch.column(0).to_pylist():
            before += 1
            if not isinstance(text, str):
                raise KISError(Problem(f"{path}, row {before}", quoted(text), "text in the column 'text'", _HINT))
            yield text, True


def _first_byte(group: Any) -> int:
    column = group.column(0)
    return int(min(place for place in (column.dictionary_page_offset, column.data_page_offset) if place))


def _arrow(path: Place) -> tuple[Any, Any]:
    try:
        import pyarrow  # type: ignore[import-untyped,unused-ignore]
        import pyarrow.parquet  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        hint = "Install it with pip install 'kis-plugin[parquet]'."
        raise KISError(
            Problem(str(path), "a Parquet file, and no package pyarrow", "one to read it with", hint)
        ) from error
    return pyarrow, pyarrow.parquet


READERS: dict[str, Callable[[Place, IO[bytes], int, int | None], Chunks]] = {
    ".txt": _of_text,
    ".jsonl": _of_records,
    ".ndjson": _of_records,
    ".parquet": _of_parquet,
}
"""By the ending of a file, without that of compression: the documents that begin in a range of its bytes."""
