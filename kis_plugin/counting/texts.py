"""Streams the base text: files in pieces, which workers read independently, and long documents in parts."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple

from kis_plugin.counting.places import Place, identity_of, listed, name_of, opened, size_of
from kis_plugin.counting.text_readers import BLOCK, READERS, Chunks, content
from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge.sources.text_files import kind_of
from kis_plugin.storage.compressed_files import BROKEN, COMPRESSED, is_compressed

__all__ = ["LONGEST", "PIECE", "Part", "Piece", "parts", "pieces_of", "text_files"]

PIECE = 1 << 25  # bytes of an uncompressed file for one worker; compressed files cannot be split
LONGEST = 1 << 20  # characters of a part at most
_KINDS = "files or folders of .txt, .jsonl or .parquet, the first two also .gz, .xz, .bz2 or .zst"


class Piece(NamedTuple):
    """The documents of a file that begin in a range of its bytes; for a compressed file, all of them.

    The documents of a Parquet file begin where their row group does.
    """

    path: Place
    start: int
    stop: int


class Part(NamedTuple):
    """A document, or a part of one that is longer than ``LONGEST``."""

    text: str
    ends: bool
    """Whether the document ends here."""


def text_files(places: Sequence[Place]) -> list[Place]:
    """Return the text files at ``places``; folders are searched with all their subfolders, sorted by name.

    Raises:
        KISError: Nothing to read, a file of another kind, or a file given twice; all such problems at once.
    """
    problems: list[Problem] = []
    files: list[Place] = []
    for place in places:
        is_folder, found = listed(place, tuple(READERS))
        kind = kind_of(name_of(place))
        if is_folder:
            files += found
            if not found:
                problems.append(Problem(str(place), "a folder without text", _KINDS))
        elif not found:
            problems.append(Problem(str(place), "no such file or folder", _KINDS))
        elif kind not in READERS or (kind == ".parquet" and _is_compressed(place)):
            problems.append(Problem(str(place), f"a file of kind {name_of(place).suffix or 'unknown'!r}", _KINDS))
        else:
            files += found
    seen: set[str] = set()
    for file in files:
        if identity_of(file) in seen:
            hint = "Give each file once: a run that repeats its text scales the counts by itself."
            problems.append(Problem(str(file), "a file given twice", "each file once", hint))
        seen.add(identity_of(file))
    if problems:
        raise KISError(problems)
    return files


def pieces_of(files: Iterable[Place], size: int = PIECE) -> list[Piece]:
    """Return the pieces of the files, in order.

    Raises:
        KISError: A Parquet file without content, or a store that does not say how long a file is.
    """
    pieces = []
    for place in files:
        whole = size_of(place)
        if not whole and kind_of(name_of(place)) == ".parquet":
            raise KISError(Problem(str(place), "an empty file", "a Parquet file, whole"))
        step = max(whole, 1) if whole > size and _is_packed(place) else size
        pieces += [Piece(place, start, min(start + step, whole)) for start in range(0, whole, step)]
    return pieces


def _is_compressed(place: Place) -> bool:
    return name_of(place).suffix.lower() in COMPRESSED


def _is_packed(place: Place) -> bool:
    """Return whether the bytes of a file are compressed, as its name or its first bytes say."""
    if _is_compressed(place):
        return True
    try:
        with opened(place) as file:
            return is_compressed(file)
    except OSError as error:
        raise KISError(Problem(str(place), error.strerror or str(error), "a file that can be read")) from error


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
    place = piece.path
    read = READERS[kind_of(name_of(place))]
    try:
        with opened(place) as raw, content(place, raw) as file:
            stop = piece.stop if file is raw else None
            yield from _cut(_watched(read(place, file, piece.start, stop), raw, piece, watch), longest)
    except BROKEN as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise KISError(Problem(str(place), reason, "a file that can be read")) from error


def _watched(chunks: Chunks, raw: IO[bytes], piece: Piece, watch: Callable[[int], Any]) -> Chunks:
    """Report how much was read, at most once every ``BLOCK`` bytes."""
    done = piece.start
    for chunk in chunks:
        at = min(raw.tell(), piece.stop)
        if at - done >= BLOCK:
            watch(at - done)
            done = at
        yield chunk
    watch(piece.stop - done)


def _cut(chunks: Chunks, longest: int) -> Iterator[Part]:
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
