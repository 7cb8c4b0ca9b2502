"""What names must stand in together: a sentence, a paragraph, or a document."""

from __future__ import annotations

import re

import numpy as np

from kis_plugin.hashing import IntArray
from kis_plugin.tokenized.tokenizer import CLOSING

__all__ = ["WINDOWS", "begins", "flat", "one_line"]

WINDOWS = ("sentence", "paragraph", "document")

_BLANK = re.compile(r"\n\s*\n")
_TITLES = ("Mr", "Ms", "Dr", "St", "Mt", "Mrs", "Mme", "Rev", "Gen", "Col", "Lt", "Sgt", "Capt", "Prof", "No", "vs")
_NO_END = "".join(rf"(?<!\b{title}\.)" for title in ("[A-Z]", *_TITLES))
# A full stop after an initial or a title ends nothing, nor does a mark before a small letter ("e.g. this"). The
# pattern begins with a set of letters: that is what makes it quick.
_SENTENCE = re.compile(rf"[.!?…。！？](?:(?<=[。！？])[{CLOSING}」』]*|{_NO_END}[{CLOSING}]* (?=[^a-z]))")  # noqa: RUF001


def one_line(text: str) -> str:
    """Return text with every run of white space as one space, none at its ends: as names and text are compared."""
    return " ".join(text.split())


def flat(text: str, window: str) -> list[str]:
    """Return a text as lines that no window reaches across: its paragraphs, or all of it as one line.

    White space in a line is single spaces; empty lines are left out.
    """
    parts = [text] if window == "document" else _BLANK.split(text)
    return [line for line in map(one_line, parts) if line]


def begins(text: str, window: str, starts: IntArray, ends: IntArray) -> IntArray:
    """Return where windows begin, the first one left out, sorted.

    Args:
        text: Lines from ``flat``.
        window: One of ``WINDOWS``.
        starts: (matches,) places in the text at which names begin.
        ends: (matches,) places at which they end: no sentence ends within a name.
    """
    lines = np.array([match.end() for match in re.finditer("\n", text)], dtype=np.int64)
    if window != "sentence":
        return lines
    found = np.array([match.end() for match in _SENTENCE.finditer(text)], dtype=np.int64)
    # A break at b lies within a name that begins before b and ends behind it.
    inside = np.zeros(len(found) + 1, dtype=np.int64)
    np.add.at(inside, np.searchsorted(found, starts, side="right"), 1)
    np.add.at(inside, np.searchsorted(found, ends, side="left"), -1)
    kept = found[np.cumsum(inside[:-1]) == 0]
    return np.union1d(kept, lines)
