"""Splits text into windows in which two names may occur together: sentences, paragraphs or documents."""

from __future__ import annotations

import re
import unicodedata

import numpy as np

from kis_plugin.hashing import IntArray
from kis_plugin.storage.unicode_forms import canonical
from kis_plugin.tokenized.tokenizer import CLOSING

__all__ = ["WINDOWS", "begins", "flat", "one_line"]

WINDOWS = ("sentence", "paragraph", "document")

_BLANK = re.compile(r"\n\s*\n")
_TITLES = ("Mr", "Ms", "Dr", "St", "Mt", "Mrs", "Mme", "Rev", "Gen", "Col", "Lt", "Sgt", "Capt", "Prof", "No", "vs")
_NO_END = "".join(rf"(?<!\b{title}\.)" for title in ("[A-Z]", *_TITLES))
# A full stop after an initial or a title ends no sentence, nor does a mark before a small letter ("e.g. this"). The
# pattern begins with a character set, which makes the search fast.
_SENTENCE = re.compile(rf"[.!?…。！？](?:(?<=[。！？])[{CLOSING}」』]*|{_NO_END}[{CLOSING}]* (?=[^a-z]))")  # noqa: RUF001
# These end sentences without a space after them. Their compatibility forms, ! and ?, do not.
_WIDE_ENDS = re.compile("([\uff01\uff1f])")


def one_line(text: str) -> str:
    """Return text as names and text are compared: white space as single spaces, one form for every letter.

    Compatibility forms are replaced too (NFKC): a PDF has the ligature ﬁ where a name has two letters.
    """
    if text.isascii():
        return canonical(text)
    parts = _WIDE_ENDS.split(text)
    return canonical("".join(part if at % 2 else unicodedata.normalize("NFKC", part) for at, part in enumerate(parts)))


def flat(text: str, window: str) -> list[str]:
    """Return a text as lines that no window crosses: its paragraphs, or all of it as one line.

    Runs of white space become single spaces; empty lines are dropped.
    """
    parts = [text] if window == "document" else _BLANK.split(text)
    return [line for line in map(one_line, parts) if line]


def begins(text: str, window: str, starts: IntArray, ends: IntArray) -> IntArray:
    """Return where windows begin, sorted, without the first one.

    Args:
        text: Lines from ``flat``.
        window: One of ``WINDOWS``.
        starts: (matches,) where names begin in the text.
        ends: (matches,) where they end. No sentence ends within a name.
    """
    lines = np.array([match.end() for match in re.finditer("\n", text)], dtype=np.int64)
    if window != "sentence":
        return lines
    found = np.array([match.end() for match in _SENTENCE.finditer(text)], dtype=np.int64)
    # A break at b lies within a name that begins before b and ends after it. Count begun minus ended names at each
    # break by differences, and keep the breaks inside no name.
    inside = np.zeros(len(found) + 1, dtype=np.int64)
    np.add.at(inside, np.searchsorted(found, starts, side="right"), 1)
    np.add.at(inside, np.searchsorted(found, ends, side="left"), -1)
    kept = found[np.cumsum(inside[:-1]) == 0]
    return np.union1d(kept, lines)
