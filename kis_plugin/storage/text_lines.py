"""Lines of text files in blocks: memory is bounded by the block and by the longest line, not by the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kis_plugin.errors import KISError, Problem
from kis_plugin.storage.compressed_files import open_stream

__all__ = ["LONGEST_LINE", "line_blocks", "text_lines"]

LONGEST_LINE = 16 * 2**20
"""Bytes of a line. Records of a run log take some hundred; a table of 100,000 columns takes a few million."""
_BLOCK = 2**20


def line_blocks(path: Path, errors: str = "replace") -> Iterator[tuple[int, list[str], bool]]:
    """Yield the lines of a file, plain or compressed, some thousands at a time.

    Args:
        path: The file.
        errors: What becomes of bytes that are not UTF-8, as ``bytes.decode`` names it.

    Yields:
        The number of the first line, the lines without their ends, and whether the last of them lacks its end: it is
        then the last of the file, and may have been cut short.

    Raises:
        KISError: A line is longer than ``LONGEST_LINE``, or the file is damaged, or too large once decompressed.
        OSError: It cannot be read.
    """
    number, parts, waiting = 1, [b""], 0  # parts of a line whose end has not been read yet, and their length
    with open_stream(path) as stream:
        while block := stream.read(_BLOCK):
            cut = block.rfind(b"\n")
            if cut < 0:
                parts.append(block)
                waiting += len(block)
                _check_length(path, number, waiting)
                continue
            text = b"".join((*parts, block[:cut]))
            lines = text.decode("utf-8", errors).split("\n")
            if len(text) > LONGEST_LINE:
                for at, line in enumerate(lines):
                    _check_length(path, number + at, len(line))
            yield number, lines, False
            number += len(lines)
            parts = [block[cut + 1 :]]
            waiting = len(parts[0])
    rest = b"".join(parts)
    if rest:
        yield number, [rest.decode("utf-8", errors)], True


def text_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file with their ends, without a byte order mark, as ``csv.reader`` wants them."""
    first = True
    for _, lines, open_end in line_blocks(path):
        for line in lines:
            yield (line.removeprefix("\ufeff") if first else line) + ("" if open_end else "\n")
            first = False


def _check_length(path: Path, number: int, length: int) -> None:
    if length > LONGEST_LINE:
        raise KISError(Problem(f"{path}:{number}", f"a line of more than {LONGEST_LINE:,} bytes", "lines of a log"))
