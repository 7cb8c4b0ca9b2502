"""Packs documents into pieces of bounded length that end with a sentence, as MiniPLM does before it scores them.

MiniPLM (Gu et al. 2024, arXiv 2410.17215, ``tools/process_data/tokenize_pile.py`` of its code) joins documents by EOS,
takes ``longest`` tokens at a time and cuts each piece back to the last sentence end in it; what was cut off begins the
next piece. Tokens after the last full piece are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["LONGEST", "Packer", "Piece", "SentenceEnds", "Tokens"]

LONGEST = 1025
"""Tokens of a piece in the paper: 1,024 are predicted from those before them."""

_ENDING = ".!?;\n"
_BRACKETS = (("[", "]"), ("(", ")"), ("{", "}"), ("<", ">"))


class Tokens(NamedTuple):
    """A document, or a part of a long one, as tokens."""

    text: str
    ids: Sequence[int]
    starts: Sequence[int]
    """The character of ``text`` with which each token begins."""
    ends: bool
    """Whether the document ends here."""


class Piece(NamedTuple):
    """A piece: its tokens, and the same as text."""

    ids: list[int]
    texts: list[str]
    """One text for each document that the piece has a part of."""


@dataclass(frozen=True)
class SentenceEnds:
    """Where a piece may end.

    Attributes:
        decode: Returns the text of some tokens.
        eos: The token between documents.
        ending: Tokens that end a sentence where a space follows, or nothing.
        breaking: Tokens that end a sentence whatever follows: line breaks and EOS.
    """

    decode: Callable[[Sequence[int]], str]
    eos: int
    ending: frozenset[int]
    breaking: frozenset[int]

    @classmethod
    def of(cls, vocabulary: Sequence[str], decode: Callable[[Sequence[int]], str], eos: int) -> SentenceEnds:
        """Find them in a vocabulary, the text of each token: those with a mark of ``.!?;`` or a line break.

        A token that opens a bracket without closing it ends no sentence.
        """
        marked = {number for number, text in enumerate(vocabulary) if any(mark in text for mark in _ENDING)}
        ending = {number for number in marked if not _opens_bracket(vocabulary[number])}
        breaking = {number for number in ending if "\n" in vocabulary[number]} | {eos}
        return cls(decode, eos, frozenset(ending), frozenset(breaking))

    def at(self, ids: Sequence[int], place: int) -> bool:
        """Return whether a sentence ends with the token at ``place``.

        A full stop ends none in ``D.A.``: there a space must follow it, or no token.
        """
        token = ids[place]
        if token in self.breaking:
            return True
        if token not in self.ending:
            return False
        following = ids[place : place + 2]
        return len(following) == 1 or " " in self.decode(following)


def _opens_bracket(text: str) -> bool:
    return any(opening in text and closing not in text for opening, closing in _BRACKETS)


@dataclass
class Packer:
    """Packs documents, which are added in order.

    Attributes:
        sentence_ends: Where a piece may end.
        longest: Tokens of a piece, at most.
        begin: The token that each piece begins with, for tokenizers with a BOS; None for none.
    """

    sentence_ends: SentenceEnds
    longest: int = LONGEST
    begin: int | None = None
    _ids: list[int] = field(default_factory=list)
    _from: list[tuple[int, int]] = field(default_factory=list)  # of each waiting token: its text and the character
    _texts: dict[int, str] = field(default_factory=dict)
    _document_of: dict[int, int] = field(default_factory=dict)
    _added: int = 0
    _document: int = 0

    @property
    def left(self) -> int:
        """Tokens that wait for the next piece."""
        return len(self._ids)

    def add(self, tokens: Tokens) -> Iterator[Piece]:
        """Add a document or a part of one, and yield the pieces that are full now."""
        number, self._added = self._added, self._added + 1
        self._texts[number], self._document_of[number] = tokens.text, self._document
        self._ids += tokens.ids
        self._from += [(number, start) for start in tokens.starts]
        if tokens.ends:
            self._ids.append(self.sentence_ends.eos)
            self._from.append((number, len(tokens.text)))
            self._document += 1
        room, start = self.longest - (self.begin is not None), 0
        while len(self._ids) - start >= room:
            stop = self._cut(start, start + room)
            # The paper's code drops a piece of one token: nothing in it is predicted.
            if stop - start + (self.begin is not None) > 1:
                begin = [] if self.begin is None else [self.begin]
                yield Piece([*begin, *self._ids[start:stop]], self._texts_of(start, stop))
            start = stop
        del self._ids[:start], self._from[:start]
        first = self._from[0][0] if self._from else self._added
        for old in [number for number in self._texts if number < first]:
            del self._texts[old], self._document_of[old]

    def _cut(self, start: int, stop: int) -> int:
        """Return where the piece ends: after the last sentence end in it, at ``stop`` where there is none."""
        at = range(stop - 1, start - 1, -1)
        return next((place + 1 for place in at if self.sentence_ends.at(self._ids, place)), stop)

    def _texts_of(self, start: int, stop: int) -> list[str]:
        """Return the text of some tokens, by document; where a character is cut, all of it goes to the next piece."""
        found: dict[int, str] = {}
        place = start
        while place < stop:
            number, first = self._from[place]
            while place < stop and self._from[place][0] == number:
                place += 1
            goes_on = place < len(self._from) and self._from[place][0] == number
            last = self._from[place][1] if goes_on else len(self._texts[number])
            document = self._document_of[number]
            found[document] = found.get(document, "") + self._texts[number][first:last]
        return [text for text in found.values() if text]
