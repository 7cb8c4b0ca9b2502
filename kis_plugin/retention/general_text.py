"""Rows of held-out general text, evenly spread over all of it, documents joined as in training rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kis_plugin.errors import KISError, Problem
from kis_plugin.hashing import IntArray
from kis_plugin.knowledge.balanced_groups import evenly
from kis_plugin.knowledge.sources.documents import DocumentSource
from kis_plugin.knowledge.sources.folders import FolderSource, every_document
from kis_plugin.tokenized.document_start import first_token
from kis_plugin.tokenized.tokenizer import TextTokenizer

__all__ = ["Excerpt", "documents", "excerpts"]

_CHARACTERS = 16  # of a window for each token of the row that is taken from it

Window = list[tuple[bool, str]]
"""Text in a row: parts of documents, each with whether a document begins there."""


@dataclass(frozen=True)
class Excerpt:
    """One row of the text.

    Attributes:
        ids: (1 + scored,) token ids; the first is there to predict the next from.
        bytes: UTF-8 bytes of the text of the others; EOS has none.
    """

    ids: IntArray
    bytes: int


def documents(path: Path) -> Iterator[str]:
    """Yield the documents of some text, as the document source reads them; the same one may come twice.

    Raises:
        KISError: It does not read such a file, or everything wrong with it, after the last document.
    """
    if not (FolderSource() if path.is_dir() else DocumentSource()).claims(path):
        found = f"{path}, which holds no documents"
        expected = "JSONL with text, .txt, .md, .pdf or a folder of these, also .gz and .xz"
        raise KISError(Problem("retention.general_text", found, expected))
    return every_document(path)


def excerpts(path: Path, tokenizer: TextTokenizer, rows: int, sequence_length: int) -> list[Excerpt]:
    """Take rows of documents, EOS (or BOS) before each and EOS after the last, evenly spread over all of the text.

    The text is read once, one document at a time. Of a long text only some windows are kept, at equal distances. Rows
    of a short text are cut from all its tokens; otherwise a row is the beginning of a window, from its first white
    space on. The same text gives the same rows in every run, whatever its seed, since runs are compared by their loss.

    Args:
        path: The text.
        tokenizer: The run's own.
        rows: The most rows to take; all rows of a text that has no more.
        sequence_length: The most tokens to score of each.

    Raises:
        KISError: No token in it, or everything wrong with the text.
    """
    windows, whole = _kept(_windows(documents(path), _CHARACTERS * sequence_length), 2 * rows)
    if whole:
        ids, sizes = _tokens([part for window in windows for part in window], tokenizer)
        ids, sizes = np.append(ids, tokenizer.eos), np.append(sizes, 0)
        parts = [
            (ids[at : at + sequence_length + 1], sizes[at : at + sequence_length + 1])
            for at in range(0, len(ids) - 1, sequence_length)
        ]
        taken = [parts[number] for number in evenly(len(parts), rows, 0).tolist()]
    else:
        some = [windows[number] for number in evenly(len(windows), rows, 0).tolist()]
        taken = [_beginning(window, tokenizer, sequence_length + 1) for window in some]
    found = [Excerpt(ids, int(sizes[1:].sum())) for ids, sizes in taken if len(ids) > 1]
    if not any(row.bytes for row in found):
        raise KISError(Problem("retention.general_text", f"no token in {path}", "text that the tokenizer knows"))
    return found


def _windows(texts: Iterable[str], size: int) -> Iterator[Window]:
    """Cut text into windows of ``size`` characters, across documents."""
    window: Window = []
    left = size
    for text in texts:
        start = 0
        while start < len(text):
            window.append((start == 0, text[start : start + left]))
            start += len(window[-1][1])
            left -= len(window[-1][1])
            if not left:
                yield window
                window, left = [], size
    if window:
        yield window


def _kept(windows: Iterable[Window], most: int) -> tuple[list[Window], bool]:
    """Return between ``most / 2`` and ``most`` windows, evenly spread, and whether that is all of them.

    Their number is not known in advance: whenever ``most`` are kept, every second one is dropped and the distance
    doubled.
    """
    kept: list[Window] = []
    step = 1
    for number, window in enumerate(windows):
        if number % step == 0:
            kept.append(window)
        if len(kept) == most:
            kept, step = kept[::2], 2 * step
    return kept, step == 1


def _beginning(window: Window, tokenizer: TextTokenizer, count: int) -> tuple[IntArray, IntArray]:
    """Return the first tokens of a window, which may begin within a word: from the first white space on."""
    begins, text = window[0]
    at = 0 if begins else next((at for at, letter in enumerate(text) if letter.isspace()), 0)
    ids, sizes = _tokens([(begins, text[at:]), *window[1:]], tokenizer)
    return ids[:count], sizes[:count]


def _tokens(parts: Sequence[tuple[bool, str]], tokenizer: TextTokenizer) -> tuple[IntArray, IntArray]:
    """Return the tokens of text and the UTF-8 bytes that each stands for: (tokens,) each.

    EOS stands before each document; with a BOS to begin documents with, that one, and EOS between them.
    """
    begin = first_token(tokenizer)
    between = [tokenizer.eos] if begin == tokenizer.eos else [tokenizer.eos, begin]
    texts: list[str] = []
    begins = parts[0][0]
    for new, part in parts:
        if new or not texts:
            texts.append(part)
        else:
            texts[-1] += part
    ids: list[int] = []
    sizes: list[IntArray] = []
    for number, (text, encoded) in enumerate(zip(texts, tokenizer.encode(texts), strict=True)):
        before = between if number else [begin] if begins else []
        ids += before
        sizes.append(np.zeros(len(before), dtype=np.int64))
        ids += encoded.ids
        until = np.concatenate([[0], np.cumsum(_utf8(text))])  # (characters + 1,) bytes before each
        sizes.append(np.diff(until[np.array([0, *encoded.ends], dtype=np.int64)]))
    return np.array(ids, dtype=np.int64), np.concatenate(sizes)


def _utf8(text: str) -> IntArray:
    """Return how many UTF-8 bytes each character takes: (characters,)."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)
    return np.searchsorted(np.array([0x80, 0x800, 0x10000]), points, side="right") + 1
