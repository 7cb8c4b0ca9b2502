"""Streams the base text: files in pieces, which workers read independently, and long documents in parts."""

from __future__ import annotations

import codecs
import gzip
import json
import lzma
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.sources.text_files import BROKEN, COMPRESSED, kind_of, quoted

__all__ = ["LONGEST", "PIECE", "Part", "Piece", "parts", "pieces_of", "text_files"]

PIECE = 1 << 25  # bytes of an uncompressed file for one worker; compressed files cannot be split
LONGEST = 1 << 20  # characters of a part at most
_BLOCK = 1 << 20  # bytes read at a time

_TEXT, _RECORDS = (".txt",), (".jsonl", ".ndjson")


class Piece(NamedTuple):
    """The documents of a file that begin in a range of its bytes; for a compressed file, all of them."""

    path: Path
    start: int
    stop: int


class Part(NamedTuple):
    """A document, or a part of one that is longer than ``LONGEST``."""

    text: str
    ends: bool
    """Whether the document ends here."""


def text_files(paths: Sequence[Path]) -> list[Path]:
    """Return the text files at ``paths``; folders are searched with all their subfolders, sorted by name.

    Raises:
        KISError: Nothing to read, a file of another kind, or a file given twice; all such problems at once.
    """
    problems: list[Problem] = []
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if kind_of(file) in _TEXT + _RECORDS and file.is_file())
            files += inside
            if not inside:
                problems.append(Problem(str(path), "a folder without text", _KINDS))
        elif not path.is_file():
            problems.append(Problem(str(path), "no such file or folder", _KINDS))
        elif kind_of(path) not in _TEXT + _RECORDS:
            problems.append(Problem(str(path), f"a file of kind {path.suffix or 'unknown'!r}", _KINDS))
        else:
            files.append(path)
    seen: set[Path] = set()
    for file in files:
        if file.resolve() in seen:
            hint = "Give each file once: a run that repeats its text scales the counts by itself."
            problems.append(Problem(str(file), "a file given twice", "each file once", hint))
        seen.add(file.resolve())
    if problems:
        raise KISError(problems)
    return files


def pieces_of(files: Iterable[Path], size: int = PIECE) -> list[Piece]:
    """Return the pieces of the files, in order."""
    pieces = []
    for path in files:
        whole = path.stat().st_size
        step = max(whole, 1) if path.suffix.lower() in COMPRESSED else size
        pieces += [Piece(path, start, min(start + step, whole)) for start in range(0, whole, step)]
    return pieces


def parts(piece: Piece, watch: Callable[[int], Any], longest: int = LONGEST) -> Iterator[Part]:
    """Yield the documents that begin in a piece, long ones in parts.

    Where a document is split depends on its text alone: after the last empty line of its first ``longest``
    characters, otherwise after white space, otherwise anywhere.

    Args:
        piece: The piece to read.
        watch: Called with the number of bytes read from the file, as stored on the disk.
        longest: Characters of a part at most.

    Raises:
        KISError: The text cannot be read, with the line.
    """
    stop = None if piece.path.suffix.lower() in COMPRESSED else piece.stop
    read = _of_text if kind_of(piece.path) in _TEXT else _of_records
    try:
        with piece.path.open("rb") as raw, _opened(piece.path, raw) as file:
            yield from _cut(_watched(read(piece.path, file, piece.start, stop), raw, piece, watch), longest)
    except BROKEN as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise KISError(Problem(str(piece.path), reason, "a file that can be read")) from error


_KINDS = "files or folders of .txt or .jsonl, also .gz or .xz"

_Chunks = Iterator[tuple[str, bool]]
"""Text of a document, and whether the document ends with it."""


def _opened(path: Path, raw: IO[bytes]) -> Any:
    if path.suffix.lower() == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if path.suffix.lower() == ".xz":
        return lzma.LZMAFile(raw)
    return raw


def _watched(chunks: _Chunks, raw: IO[bytes], piece: Piece, watch: Callable[[int], Any]) -> _Chunks:
    """Report how much was read, at most once every ``_BLOCK`` bytes."""
    done = piece.start
    for chunk in chunks:
        at = min(raw.tell(), piece.stop)
        if at - done >= _BLOCK:
            watch(at - done)
            done = at
        yield chunk
    watch(piece.stop - done)


def _cut(chunks: _Chunks, longest: int) -> Iterator[Part]:
    held = ""
    for text, ends in chunks:
        held += text
        while len(held) > longest:
            at = _place_to_cut(held, longest)
            yield Part(held[:at], False)
            held = held[at:]
        if ends:
            yield Part(held, True)
            held = ""


def _place_to_cut(text: str, longest: int) -> int:
    for marks in (("\n\n", "\n\r\n"), (" ", "\n")):
        found = [text.rfind(mark, 0, longest) + len(mark) for mark in marks if mark in text[:longest]]
        if found:
            return max(found)
    # Not before a combining mark, which belongs to the letter before it.
    return next((at for at in range(longest, 0, -1) if not unicodedata.combining(text[at])), longest)


def _of_text(path: Path, file: IO[bytes], start: int, stop: int | None) -> _Chunks:
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
    while block := file.read(_BLOCK):
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


def _of_records(path: Path, file: IO[bytes], start: int, stop: int | None) -> _Chunks:
    """Yield the texts of the records whose lines begin in a range of bytes."""
    at = start
    if start:
        file.seek(start - 1)
        at += len(file.readline()) - 1
    while stop is None or at < stop:
        line = file.readline()
        if not line:
            return
        if line.strip():
            yield _text_of(path, at, line), True
        at += len(line)


def _text_of(path: Path, at: int, line: bytes) -> str:
    hint = "Each line of base text is an object with its text under 'text'."
    try:
        record = json.loads(line.decode("utf-8-sig" if at == 0 else "utf-8"))
    except (ValueError, RecursionError) as error:
        found = f"a line that is not JSON in UTF-8 ({error})"
        raise KISError(Problem(_line_at(path, at), found, "one JSON object a line", hint)) from error
    text = record.get("text") if isinstance(record, dict) else None
    if not isinstance(text, str):
        found = quoted(text) if isinstance(record, dict) and "text" in record else "no key 'text'"
        raise KISError(Problem(_line_at(path, at), found, "text under the key 'text'", hint))
    return _writable(text)


def _writable(text: str) -> str:
    """Return text with lone surrogates replaced: JSON can hold them, names cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _line_at(path: Path, offset: int) -> str:
    """Return ``file:line`` of a byte. It is slow, and only called for errors."""
    line = 1
    with path.open("rb") as raw, _opened(path, raw) as file:
        while offset > 0 and (block := file.read(min(offset, _BLOCK))):
            line += block.count(b"\n")
            offset -= len(block)
    return f"{path}:{line}"
