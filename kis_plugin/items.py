"""What is infused, as tokens: one item a fact, or one a piece of a passage."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kis_plugin.errors import KISError, Problem
from kis_plugin.knowledge import Fact, Passage
from kis_plugin.seeded import IntArray
from kis_plugin.sentences import Encoded, TextTokenizer, render

if TYPE_CHECKING:
    from kis_plugin.template_book import TemplateBook

__all__ = ["Items", "build_items"]

_CHUNK = 4096  # texts tokenized at a time
_SENTENCE_END = re.compile(r"[.!?]['\")\]]*(?=\s)|\n+")


@dataclass(frozen=True)
class Items:
    """Token sequences, each ended by EOS, end to end in one array.

    Attributes:
        tokens: (total,) token ids.
        offsets: (items + 1,); item i is ``tokens[offsets[i]:offsets[i + 1]]``.
        facts: Number of facts and passages they come from.
    """

    tokens: npt.NDArray[np.int32]
    offsets: IntArray
    facts: int

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """Tokens of each item, its EOS included: (items,)."""
        return np.diff(self.offsets)

    @property
    def fingerprint(self) -> str:
        """Hash of every token of every item."""
        digest = hashlib.sha256(self.tokens.tobytes())
        digest.update(self.offsets.tobytes())
        return digest.hexdigest()[:16]


def build_items(
    facts: Sequence[Fact],
    passages: Sequence[Passage],
    book: TemplateBook,
    tokenizer: TextTokenizer,
    block: int,
    variant: int = 0,
) -> Items:
    """Render and tokenize everything that is infused.

    Args:
        facts: Each becomes one of its relation's training sentences.
        passages: Each becomes one item, or several where it does not fit a row, parted between sentences.
        book: Whose training sentences.
        tokenizer: The run's.
        block: Tokens a row; an item with its EOS fits into one.
        variant: Which of the training sentences; relations that have fewer begin again.

    Raises:
        KISError: Sentences that do not fit a row (the first few of them), a word of a passage that does not.
    """
    rows: list[Sequence[int]] = []
    problems: list[Problem] = []
    for start in range(0, len(facts), _CHUNK):
        batch = facts[start : start + _CHUNK]
        sentences = [book.of(fact.relation).trained for fact in batch]
        texts = [render(trained[variant % len(trained)], fact) for trained, fact in zip(sentences, batch, strict=True)]
        for fact, text, encoded in zip(batch, texts, tokenizer.encode(texts), strict=True):
            if not 0 < len(encoded.ids) < block:
                found = f"a sentence of {len(encoded.ids)} tokens: {text[:60]!r}"
                hint = "Shorten it, or train with longer rows; a sentence is never cut."
                problems.append(Problem(f"fact {fact.id or text[:40]}", found, f"1 to {block - 1} tokens", hint))
            rows.append(encoded.ids)
    if problems:
        raise KISError(problems[:20])
    for start in range(0, len(passages), _CHUNK):
        batch_of = passages[start : start + _CHUNK]
        for passage, encoded in zip(batch_of, tokenizer.encode([p.text for p in batch_of]), strict=True):
            rows += _pieces(passage, encoded, block - 1)
    lengths = np.fromiter((len(row) + 1 for row in rows), dtype=np.int64, count=len(rows))
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    tokens = np.full(int(offsets[-1]), tokenizer.eos, dtype=np.int32)
    for row, offset in zip(rows, offsets[:-1].tolist(), strict=True):
        tokens[offset : offset + len(row)] = row
    return Items(tokens, offsets, len(facts) + len(passages))


def _pieces(passage: Passage, encoded: Encoded, limit: int) -> Iterator[Sequence[int]]:
    """Yield pieces of at most ``limit`` tokens that end where a sentence ends, else where a word does."""
    sentence_ends = {match.end() for match in _SENTENCE_END.finditer(passage.text)} | {len(passage.text)}
    word_ends = {match.start() for match in re.finditer(r"\s", passage.text)}
    start = 0
    while start < len(encoded.ids):
        if len(encoded.ids) - start <= limit:
            yield encoded.ids[start:]
            return
        cut = 0
        for breaks in (sentence_ends, word_ends):
            cut = cut or next((i for i in range(start + limit, start, -1) if encoded.ends[i - 1] in breaks), 0)
        if not cut:
            begin = encoded.ends[start - 1] if start else 0
            found = f"no place to part it for {limit} tokens after {passage.text[begin : begin + 40]!r}"
            raise KISError(
                Problem(f"passage {passage.id}", found, "a space or a sentence end", "Train with longer rows.")
            )
        yield encoded.ids[start:cut]
        start = cut
