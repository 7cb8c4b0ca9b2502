"""Cuts documents into pieces that fit a row: where a sentence ends, else where a word does. No text is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kis_plugin.errors import KISError, Problem
from kis_plugin.tokenized.tokenizer import CLOSING, Encoded

__all__ = ["chunked", "sections"]

_SENTENCE_END = re.compile(rf"[.!?][{CLOSING}]*(?=\s)|\n+")
_WORD_END = re.compile(r"(?=\s)")


def chunked(text: str, encoded: Encoded, limit: int, where: str) -> Iterator[Sequence[int]]:
    """Yield the ids of ``text`` in pieces of at most ``limit`` tokens, each as long as possible.

    Args:
        text: What ``encoded`` encodes.
        encoded: Its tokens.
        limit: Tokens a piece.
        where: What errors call the text.

    Raises:
        KISError: A word of more than ``limit`` tokens.
    """
    ids, ends, start = encoded.ids, encoded.ends, 0
    sentences: set[int] = set()
    words: set[int] = set()
    if len(ids) > limit:
        sentences = {match.end() for match in _SENTENCE_END.finditer(text)}
        words = {match.start() for match in _WORD_END.finditer(text)}
    while len(ids) - start > limit:
        # The latest token that ends with a sentence; without one, the latest that ends with a word.
        cut = 0
        for places in (sentences, words):
            cut = cut or next((at for at in range(start + limit, start, -1) if ends[at - 1] in places), 0)
        if not cut:
            begin = ends[start - 1] if start else 0
            found = f"no place to cut it within {limit} tokens after {text[begin : begin + 40]!r}"
            raise KISError(Problem(where, found, "a space or a sentence end", "Train with longer rows."))
        yield ids[start:cut]
        start = cut
    if start < len(ids):
        yield ids[start:]


def sections(text: str, most: int) -> Iterator[str]:
    """Yield a text in sections of at most ``most`` characters, cut where a sentence ends if possible.

    A tokenizer needs a hundred bytes and more for each token of a text, so it gets a book section by section.
    """
    start = 0
    while len(text) - start > most:
        window = text[start : start + most + 1]
        cut = max((match.end() for match in _SENTENCE_END.finditer(window)), default=0)
        cut = cut or max((match.start() for match in _WORD_END.finditer(window)), default=0) or most
        yield text[start : start + cut]
        start += cut
    yield text[start:]
